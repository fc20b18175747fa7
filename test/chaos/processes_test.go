package chaos_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// processes keeps what every process of a run said. After a run that failed it
// is among the artifacts of the test (go test -artifacts): dozens of processes
// say too much for the test's own output.
type processes struct {
	testing.TB

	started []named
}

type named struct {
	name    string
	process *harness.Process
}

func newProcesses(tb testing.TB) *processes {
	tb.Helper()
	p := &processes{TB: tb}
	tb.Cleanup(func() {
		if tb.Failed() {
			p.write(tb.ArtifactDir())
		}
	})
	return p
}

// Failed has the harness keep to itself what the processes said.
func (*processes) Failed() bool { return false }

func (p *processes) add(name string, process *harness.Process) {
	p.started = append(p.started, named{name: fmt.Sprintf("%s-%02d.log", name, len(p.started)), process: process})
}

func (p *processes) write(dir string) {
	for _, s := range p.started {
		if err := os.WriteFile(filepath.Join(dir, s.name), []byte(s.process.Output.String()), 0o600); err != nil {
			p.Errorf("keep what a process said: %v", err)
		}
	}
	p.Logf("what %d processes said is in %s", len(p.started), dir)
}
