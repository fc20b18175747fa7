// Package worker is the part of the scanner that touches hostile content. It
// runs in a process of its own, which limits itself before it reads anything.
package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
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
	if err := answer(stdin, stdout, respond); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// answer reads a request, confines the process, and has respond look.
func answer(stdin io.Reader, stdout io.Writer, respond func(context.Context, scan.Request) scan.Response) error {
	text, err := io.ReadAll(io.LimitReader(stdin, maxRequest))
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	var request scan.Request
	if err := json.Unmarshal(text, &request); err != nil {
		return fmt.Errorf("decode the request: %w", err)
	}
	if err := confineProcess(request.Limits); err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(respond(context.Background(), request)); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// confineProcess gives up what a process gives up by itself. Files and
// privileges were given up for it before it started (confine.Cell).
func confineProcess(l scan.Limits) error {
	confine.EndInWords(l.CPU)
	if err := confine.Apply(confine.Limits{Memory: l.Memory, Data: l.Memory / 2, CPU: l.CPU, FileSize: l.Unpacked, Files: l.Files}); err != nil {
		return fmt.Errorf("limit the process: %w", err)
	}
	return confine.RefuseCalls()
}

func respond(ctx context.Context, request scan.Request) scan.Response {
	found, err := look(request)
	if err != nil {
		return scan.Response{Error: inWords(err, request.Limits)}
	}
	response := scan.Response{Scan: found.scan()}
	if err := match(ctx, request.Database, found, response.Scan); err != nil {
		response.Problem = inWords(err, request.Limits)
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
	return found, found.passedOver()
}
