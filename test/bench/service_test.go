package bench_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// engine is what the journal is kept in.
type engine struct {
	name string
	// storage makes a database, a new one with each call, and returns its URL;
	// empty: a file in the folder of whoever uses it.
	storage func(tb testing.TB) string
}

// engines lists both. The benchmark of one that the machine does not have is
// skipped.
func engines() []engine {
	return []engine{
		{"SQLite", func(testing.TB) string { return "" }},
		{"PostgreSQL", func(tb testing.TB) string {
			tb.Helper()
			return postgres.Start(tb).NewDatabase(tb)
		}},
	}
}

// serve runs the gatekeeper between two registries of this process.
func serve(tb testing.TB, f *factory, golden *registry, storage, settings, limits string) *harness.Stack {
	tb.Helper()
	s := &harness.Stack{
		Dir: tb.TempDir(), Relay: harness.NewRelay(tb), Staging: f.registry.host(), Golden: golden.host(), Storage: storage, Settings: settings, Limits: limits,
	}
	s.Keys.Public = s.Path("ci.pub")
	s.Write(tb, "ci.pub", f.publicKey(tb))
	s.Configure(tb, fmt.Sprintf(policyText, ""))
	s.Serve(tb)
	return s
}

// reportPushes sends the notification of some pushes and waits until they are
// durable.
func reportPushes(tb testing.TB, s *harness.Stack, pushes ...push) {
	tb.Helper()
	status, body := harness.Post(tb, s.Webhooks+"/webhooks/staging", harness.WebhookSecret, eventsType, []byte(notification(pushes...)))
	if status != http.StatusAccepted || !bytes.Contains(body, fmt.Appendf(nil, `"accepted":%d,`, len(pushes))) {
		tb.Fatalf("report %d pushes: %d %s", len(pushes), status, body)
	}
}

const eventsType = "application/vnd.docker.distribution.events.v2+json"

// memory reads a figure of a process from the kernel, in MiB: VmRSS is what it
// has in memory now, VmHWM the most it ever had.
func memory(tb testing.TB, s *harness.Stack, figure string) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process.Cmd.Process.Pid))
	if err != nil {
		tb.Skipf("no memory figures: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, figure+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kib / 1024
		}
	}
	tb.Fatalf("/proc/%d/status has no %s", s.Process.Cmd.Process.Pid, figure)
	return 0
}

// ticks is how many of /proc/PID/stat's units a second has: USER_HZ, which is
// 100 on every architecture that Go runs on.
const ticks = 100

// processorTime is what a process and its children have used; nothing where
// the kernel does not say.
func processorTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// proc_pid_stat(5): the name in brackets may hold anything; after it
	// utime, stime, cutime and cstime are the 12th to 15th.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var sum int
	for _, field := range fields[11:15] {
		n, err := strconv.Atoi(field)
		if err != nil {
			tb.Fatal(err)
		}
		sum += n
	}
	total := time.Duration(sum) * time.Second / ticks
	for _, child := range children(tb, pid) {
		total += processorTime(tb, child)
	}
	return total
}

func children(tb testing.TB, pid int) []int {
	tb.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		tb.Fatal(err)
	}
	var all []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, child)
		}
	}
	return all
}

// setting is a size from the environment.
func setting(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s is %q; want a number", name, text)
	}
	return n
}
