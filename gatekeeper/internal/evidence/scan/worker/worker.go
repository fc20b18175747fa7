// Package worker is the part of the scanner that touches hostile content. It
// runs in a process of its own, which limits itself before it reads anything.
package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
)

// maxRequest is the size of the largest request, in bytes.
const maxRequest = 64 << 10

// Main runs a worker when the arguments ask for one. It returns the exit
// status of the process.
func Main(args []string, stdin io.Reader, stdout io.Writer) (status int, asked bool) {
	if len(args) < 2 || args[1] != scan.WorkerArgument {
		return 0, false
	}
	if len(args) > 2 && args[2] == scan.ProbeArgument {
		return 0, true
	}
	if err := answer(stdin, stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func answer(stdin io.Reader, stdout io.Writer) error {
	text, err := io.ReadAll(io.LimitReader(stdin, maxRequest))
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	var request scan.Request
	if err := json.Unmarshal(text, &request); err != nil {
		return fmt.Errorf("decode the request: %w", err)
	}
	if err := confine(request.Limits); err != nil {
		return fmt.Errorf("limit the process: %w", err)
	}
	if err := json.NewEncoder(stdout).Encode(respond(context.Background(), request)); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

func respond(ctx context.Context, request scan.Request) scan.Response {
	found, err := look(request)
	if err != nil {
		return scan.Response{Error: err.Error()}
	}
	response := scan.Response{Scan: found.scan()}
	if err := match(ctx, request.Database, found, response.Scan); err != nil {
		response.Problem = err.Error()
	}
	return response
}

// look lists the packages of what was asked about.
func look(request scan.Request) (catalogued, error) {
	if request.SBOM != "" {
		return readSBOM(request.SBOM)
	}
	if err := verifyLayers(request.Layout, request.Limits.Unpacked); err != nil {
		return catalogued{}, err
	}
	found, err := catalogue(request.Layout)
	if err != nil {
		return catalogued{}, fmt.Errorf("list the packages: %w", err)
	}
	return found, nil
}

// confine sets the limits of the process (setrlimit(2)); nothing can raise
// them again.
func confine(l scan.Limits) error {
	var errs []error
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_AS:     l.Memory,
		unix.RLIMIT_CPU:    l.CPU,
		unix.RLIMIT_FSIZE:  l.Unpacked,
		unix.RLIMIT_NOFILE: l.Files,
		unix.RLIMIT_CORE:   0,
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			errs = append(errs, err)
			continue
		}
		limit = min(limit, now.Max)
		errs = append(errs, unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}))
	}
	return errors.Join(errs...)
}
