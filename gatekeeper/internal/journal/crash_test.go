package journal_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// crashVariable holds the journal's location in the process that is to be killed.
const crashVariable = "GATEKEEPER_JOURNAL_CRASH"

// crashIfChild runs the process that is to be killed: it accepts pushes until
// it is, and prints each that was accepted.
func crashIfChild() bool {
	location := os.Getenv(crashVariable)
	if location == "" {
		return false
	}
	if err := acceptForEver(location); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	return true
}

func acceptForEver(location string) error {
	ctx := context.Background()
	j, err := journal.Open(ctx, location, journal.Deps{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	go func() { _ = j.Run(ctx, hanging{}) }()
	for i := 0; ; i++ {
		tag := fmt.Sprintf("v%d", i)
		if _, err := j.Accept(ctx, []notifications.Push{pushOf(tag, digest("a"))}); err != nil {
			return err
		}
		fmt.Println(tag)
	}
}

// hanging is in the middle of something when the process is killed.
type hanging struct{}

func (hanging) Process(ctx context.Context, _ gatekeeper.Push) (gatekeeper.Progress, error) {
	<-ctx.Done()
	return gatekeeper.Progress{}, ctx.Err()
}

func TestWhatWasAcceptedIsJudgedAfterAKill(t *testing.T) {
	t.Parallel()
	for name, e := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := e.location(t)
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), crashVariable+"="+path)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			accepted := map[string]bool{}
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "failed") {
					t.Fatal(lines.Text())
				}
				accepted[lines.Text()] = true
				if len(accepted) == 40 {
					if err := child.Process.Kill(); err != nil { // SIGKILL
						t.Fatal(err)
					}
				}
			}
			if err := child.Wait(); err == nil {
				t.Fatal("the process was not killed")
			}

			j, p := open(t, path, deps(t)), newProcessor()
			t.Cleanup(func() { closeJournal(t, j) })
			run(t, j, p)
			for len(accepted) > 0 {
				c := p.next(t)
				delete(accepted, c.push.Tag)
				c.verdict(policy.VerdictPromoted)
			}
		})
	}
}

func BenchmarkAccept(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			j, err := journal.Open(b.Context(), sqliteLocation(b), journal.Deps{
				Now: time.Now, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := j.Close(); err != nil {
					b.Error(err)
				}
			}()
			work := make(chan int)
			errs := make(chan error, callers)
			for range callers {
				go func() {
					var err error
					for i := range work {
						if err == nil {
							_, err = j.Accept(b.Context(), []notifications.Push{pushOf(fmt.Sprintf("v%d", i), digest("a"))})
						}
					}
					errs <- err
				}()
			}
			i := 0
			for b.Loop() {
				work <- i
				i++
			}
			close(work)
			for range callers {
				if err := <-errs; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
