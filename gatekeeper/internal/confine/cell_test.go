package confine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
)

// workerArgument makes the test binary a worker; the next argument says what it
// does.
const workerArgument = "confine-worker"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == workerArgument {
		os.Exit(work(os.Args[2], os.Args[3:]))
	}
	goleak.VerifyTestMain(m)
}

// work is what workers of the tests do: they try, and report what came of it.
func work(what string, args []string) int {
	switch what {
	case "probe":
		return 0
	case "parent":
		return supervise(args[0])
	case "escape":
		if err := confine.RefuseCalls(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fallthrough
	case "escape without a filter":
		if err := json.NewEncoder(os.Stdout).Encode(escape(args)); err != nil {
			return 1
		}
		return 0
	case "fork and wait":
		child := exec.Command("/proc/self/exe", workerArgument, "wait") //nolint:noctx // this program
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return 1
		}
		if _, err := os.Stdout.WriteString("ready\n"); err != nil {
			return 1
		}
		fallthrough
	case "wait":
		select {}
	case "spin":
		confine.EndInWords(1)
		if err := confine.Apply(confine.Limits{CPU: 1}); err != nil {
			return 1
		}
		for n := 0; ; n++ {
			if n < 0 {
				n = 0
			}
		}
	}
	return 3
}

// escape tries the ways out of a worker and returns what each came to; empty:
// it worked.
func escape(args []string) map[string]string {
	secret, readable, writable, address, parent := args[0], args[1], args[2], args[3], args[4]
	found := map[string]string{}
	try := func(what string, err error) {
		found[what] = ""
		if err != nil {
			found[what] = err.Error()
		}
	}
	read := func(path string) error {
		_, err := os.ReadFile(path)
		return err
	}
	try("read what it is given", read(filepath.Join(readable, "given")))
	try("write in its folder", os.WriteFile(filepath.Join(writable, "new"), []byte("x"), 0o600))
	try("read a secret", read(secret))
	try("read the users", read("/etc/passwd"))
	try("read the environment of the service", read(filepath.Join("/proc", parent, "environ")))
	try("read the memory of the service", read(filepath.Join("/proc", parent, "maps")))
	try("list the host's folders", func() error { _, err := os.ReadDir("/"); return err }())
	try("write where it may read", os.WriteFile(filepath.Join(readable, "new"), []byte("x"), 0o600))
	try("write elsewhere", os.WriteFile(secret, []byte("x"), 0o600))
	try("follow a link of its own", func() error {
		if err := os.Symlink(secret, filepath.Join(writable, "link")); err != nil {
			return err
		}
		return read(filepath.Join(writable, "link"))
	}())
	try("connect", func() error {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	}())
	try("open a socket for UDP", func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err == nil {
			err = unix.Close(s)
		}
		return err
	}())
	try("start a process", exec.Command("/proc/self/exe", workerArgument, "probe").Run()) //nolint:noctx // this program
	try("start a program of the host", exec.Command("/bin/true").Run())                   //nolint:noctx // ends at once
	pid, err := strconv.Atoi(parent)
	try("know the service", err)
	try("signal the service", unix.Kill(pid, 0))
	try("limit the service", unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &unix.Rlimit{}))
	try("leave its group", unix.Setpgid(0, 0))
	try("outlive the service", unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0))
	try("use memory that nobody counts", func() error {
		m, err := unix.MemfdCreate("x", 0)
		if err == nil {
			err = unix.Close(m)
		}
		return err
	}())
	try("be somebody else", unix.Setuid(1))
	try("mount", unix.Mount("none", writable, "tmpfs", 0, ""))
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // other goroutines need another one
		started <- nil
	}()
	try("start a thread", <-started)
	return found
}

// kernel is what the machine that runs the tests allows.
func kernel(t *testing.T) confine.Kernel {
	t.Helper()
	k, err := confine.Probe(workerArgument, "probe")
	if err != nil {
		t.Fatal(err)
	}
	for _, missing := range k.Missing() {
		t.Logf("not here: %s", missing)
	}
	return k
}

func worker(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, append([]string{workerArgument}, args...)...)
	c.Env = []string{}
	return c
}

// What a worker may do works, and nothing else does, by each mechanism alone
// and by all together.
func TestAWorkerHasNoWayOut(t *testing.T) {
	t.Setenv("GATEKEEPER_SECRET", "hunter2")
	here := kernel(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	files := []string{
		"read a secret", "read the users", "read the environment of the service", "read the memory of the service", "list the host's folders",
		"write where it may read", "write elsewhere", "follow a link of its own", "start a program of the host",
	}
	processes := []string{
		"open a socket for UDP", "start a process", "start a program of the host", "leave its group", "outlive the service",
		"use memory that nobody counts",
	}
	always := []string{"mount", "be somebody else"}
	for _, tt := range []struct {
		name    string
		kernel  confine.Kernel
		what    string
		missing bool
		refused []string
	}{
		{"all there is", here, "escape", len(here.Missing()) > 0, append(append([]string{"connect", "signal the service", "limit the service"}, files...), processes...)},
		{"Landlock alone", confine.Kernel{Landlock: here.Landlock}, "escape without a filter", here.Landlock < confine.LandlockTCP, append([]string{"connect"}, files...)},
		{"seccomp alone", confine.Kernel{}, "escape", !here.Calls, append([]string{"connect", "signal the service", "limit the service"}, processes...)},
		{"namespaces alone", confine.Kernel{Namespaces: here.Namespaces}, "escape without a filter", here.Namespaces == 0, []string{"connect"}},
		{"nothing", confine.Kernel{}, "escape without a filter", false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.missing {
				t.Skipf("the kernel or the container lacks %s", strings.Join(here.Missing(), ", "))
			}
			secret, readable, writable := filepath.Join(t.TempDir(), "secret"), t.TempDir(), t.TempDir()
			for _, path := range []string{secret, filepath.Join(readable, "given")} {
				if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := worker(t, tt.what, secret, readable, writable, listener.Addr().String(), strconv.Itoa(os.Getpid()))
			var out, complaints bytes.Buffer
			c.Stdout, c.Stderr = &out, &complaints
			if err := (confine.Cell{Kernel: tt.kernel, Read: []string{readable}, Write: []string{writable}}).Run(c); err != nil {
				t.Fatalf("%v: %s", err, &complaints)
			}
			var got map[string]string
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			for _, what := range []string{"read what it is given", "write in its folder", "start a thread"} {
				if reason := got[what]; reason != "" {
					t.Errorf("%s: %s", what, reason)
				}
			}
			for _, what := range append(always, tt.refused...) {
				if reason, known := got[what]; reason == "" {
					t.Errorf("a worker can %s (tried: %t)", what, known)
				}
			}
			if tt.name == "nothing" && (got["connect"] != "" || got["read a secret"] != "" || got["start a process"] != "") {
				t.Errorf("not even without confinement, so that the test shows nothing: %v", got)
			}
		})
	}
}

// The thread that a worker was started from is gone: this process keeps what it
// had.
func TestTheServiceKeepsWhatItHas(t *testing.T) {
	k := kernel(t)
	for range 10 {
		if err := (confine.Cell{Kernel: k}).Run(worker(t, "probe")); err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadFile("/etc/passwd"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(t.TempDir(), "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCPUTimeEndsInWords(t *testing.T) {
	t.Parallel()
	c := worker(t, "spin")
	var complaints bytes.Buffer
	c.Stderr = &complaints
	if err := (confine.Cell{}).Run(c); err == nil || !confine.OutOfTime(complaints.String()) {
		t.Errorf("%v: %q", err, &complaints)
	}
}

// supervise starts a worker that starts another, the way the service does.
func supervise(confined string) int {
	self, err := os.Executable()
	if err != nil {
		return 1
	}
	var k confine.Kernel
	if confined != "" {
		if k, err = confine.Probe(workerArgument, "probe"); err != nil {
			return 1
		}
	}
	c := exec.Command(self, workerArgument, "fork and wait") //nolint:noctx // this program itself
	c.Stdout = os.Stdout
	if err := (confine.Cell{Kernel: k, Read: []string{"/proc"}}).Run(c); err != nil {
		return 1
	}
	return 0
}

// family is a pipe that a worker and what it starts write to: it ends when none
// of them lives.
func family(t *testing.T, c *exec.Cmd) *bufio.Reader {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.Stdout = w
	t.Cleanup(func() { _ = w.Close() })
	return bufio.NewReader(r)
}

// letGo closes this process's end of the pipe.
func letGo(t *testing.T, c *exec.Cmd) {
	t.Helper()
	w, _ := c.Stdout.(*os.File)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func ready(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

func allDead(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("something lives: %q, %v", rest, err)
	}
}

// A worker ends with all that it started when its time is up, with namespaces
// and without.
func TestAWorkerEndsAsAGroup(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]confine.Kernel{"confined": {Namespaces: kernel(t).Namespaces}, "without namespaces": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := worker(t, "fork and wait")
			worker := exec.CommandContext(ctx, c.Path, c.Args[1:]...)
			worker.Cancel = func() error { return confine.Kill(worker) }
			r := family(t, worker)
			ended := make(chan error, 1)
			go func() { ended <- confine.Cell{Kernel: k}.Run(worker) }()
			ready(t, r)
			cancel()
			if err := <-ended; err == nil {
				t.Error("no error")
			}
			letGo(t, worker)
			allDead(t, r)
		})
	}
}

// It ends with the service too, whatever ends that. Without a namespace of its
// own it could leave behind what it started; seccomp does not let it start
// anything.
func TestAWorkerEndsWithTheService(t *testing.T) {
	t.Parallel()
	if kernel(t).Namespaces == 0 {
		t.Skip("the kernel or the container refuses namespaces")
	}
	service := worker(t, "parent", "confined")
	r := family(t, service)
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	letGo(t, service)
	ready(t, r)
	if err := service.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = service.Wait()
	allDead(t, r)
}
