package confined

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
)

// limits are what one worker may use. Verifying the largest bundle takes less
// than half of the memory. The CPU time is more than two threads use in the work
// of a worker and one item more.
func limits() confine.Limits {
	return confine.Limits{Memory: 8 << 30, Data: 512 << 20, CPU: 60, NoFiles: true, Files: 16}
}

// Main runs a worker when the arguments ask for one. It returns the exit
// status of the process.
func Main(args []string, stdin io.Reader, stdout io.Writer) (status int, asked bool) {
	if len(args) < 2 || args[1] != Argument {
		return 0, false
	}
	if len(args) > 2 && args[2] == probeArgument {
		return 0, true
	}
	if err := serve(stdin, stdout, limits(), (*verify.Trusted).Verify); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// judge is what a worker does with an item.
type judge func(*verify.Trusted, verify.Item) (verify.Answer, error)

// serve answers questions until there are no more.
func serve(stdin io.Reader, stdout io.Writer, l confine.Limits, j judge) error {
	confine.EndInWords(l.CPU)
	if err := confine.Apply(l); err != nil {
		return fmt.Errorf("limit the process: %w", err)
	}
	// No file is opened from here on, and no TCP connection made, where the
	// kernel can see to it (landlock(7)). Without namespaces, UDP remains.
	if err := landlock.V6.BestEffort().Restrict(); err != nil {
		return fmt.Errorf("close the file system: %w", err)
	}
	w := worker{judge: j}
	for {
		err := w.answer(stdin, stdout)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// worker remembers the last trust that it was asked about: it seldom changes.
type worker struct {
	judge   judge
	trust   []byte
	trusted *verify.Trusted
}

func (w *worker) answer(stdin io.Reader, stdout io.Writer) error {
	var q struct {
		Trust json.RawMessage `json:"trust"`
		Item  verify.Item     `json:"item"`
	}
	if err := readJSON(stdin, maxQuestion, &q); err != nil {
		return err // io.EOF when there are no more
	}
	data, err := readFrame(stdin, maxData)
	if err != nil {
		return fmt.Errorf("read the item: %w", err)
	}
	q.Item.Data = data
	return writeJSON(stdout, w.reply(q.Trust, q.Item))
}

func (w *worker) reply(trust []byte, item verify.Item) reply {
	if w.trusted == nil || !bytes.Equal(w.trust, trust) {
		var t verify.Trust
		if err := json.Unmarshal(trust, &t); err != nil {
			return reply{Error: fmt.Sprintf("decode the trust: %v", err)}
		}
		trusted, err := verify.Prepare(t)
		if err != nil {
			return reply{Error: err.Error()}
		}
		w.trust, w.trusted = bytes.Clone(trust), trusted
	}
	answer, err := w.judge(w.trusted, item)
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Answer: answer}
}
