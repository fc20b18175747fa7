// Package confine keeps processes that touch hostile content small: the
// service starts its own binary again as a worker, in namespaces of its own
// where the kernel allows it, and the worker gives up what it does not need
// before it reads anything.
package confine

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits are what a worker may use (setrlimit(2)). Zero leaves a resource as
// it is.
type Limits struct {
	Memory   uint64 // bytes of address space
	Data     uint64 // bytes of memory that is written to
	CPU      uint64 // seconds, after which SIGXCPU comes; SIGKILL follows cpuGrace later
	FileSize uint64 // bytes of the largest file that can be written
	NoFiles  bool   // can write no file at all
	Files    uint64 // open at a time
}

// cpuGrace is how many seconds of CPU time lie between the signal that says
// why a process ends and the one that does not.
const cpuGrace = 2

// Apply sets the limits of this process; nothing can raise them again.
func Apply(l Limits) error {
	resources := map[int]uint64{unix.RLIMIT_CORE: 0}
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_AS: l.Memory, unix.RLIMIT_DATA: l.Data, unix.RLIMIT_CPU: l.CPU, unix.RLIMIT_FSIZE: l.FileSize, unix.RLIMIT_NOFILE: l.Files,
	} {
		if limit > 0 {
			resources[resource] = limit
		}
	}
	if l.NoFiles {
		resources[unix.RLIMIT_FSIZE] = 0
	}
	var errs []error
	for resource, limit := range resources {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			errs = append(errs, fmt.Errorf("read limit %d: %w", resource, err))
			continue
		}
		hard := limit
		if resource == unix.RLIMIT_CPU {
			hard += cpuGrace
		}
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: min(limit, now.Max), Max: min(hard, now.Max)}); err != nil {
			errs = append(errs, fmt.Errorf("set limit %d: %w", resource, err))
		}
	}
	return errors.Join(errs...)
}

// The namespaces of workers (namespaces(7)). One for processes is apart: it
// does not go together with Landlock, whose library finds the threads of the
// process in /proc.
const (
	Namespaces   = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNS
	ProcessesToo = Namespaces | syscall.CLONE_NEWPID
)

// Attributes give a worker its own process group and namespaces; zero gives it
// ours.
func Attributes(namespaces uintptr) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if namespaces != 0 {
		attr.Cloneflags = namespaces
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// Allowed tries, when it is first asked, whether workers can have namespaces,
// by starting this binary with the arguments, which have to make it end at
// once. It returns those that workers get, and logs it: a warning when there
// are none.
func Allowed(namespaces uintptr, log *slog.Logger, arguments ...string) func() uintptr {
	return sync.OnceValue(func() uintptr {
		self, err := os.Executable()
		if err == nil {
			probe := exec.Command(self, arguments...) //nolint:gosec,noctx // this program itself; it ends at once
			probe.Env = []string{}
			probe.SysProcAttr = Attributes(namespaces)
			err = probe.Run()
		}
		if err != nil {
			log.Warn("workers run without namespaces: the kernel or the container refuses them; memory, time and files are limited all the same",
				slog.String("reason", err.Error()))
			return 0
		}
		log.Info("workers run in namespaces of their own, without network", slog.String("worker", arguments[0]))
		return namespaces
	})
}

// The versions of Landlock's interface that keep a process from files and from
// TCP: those of Linux 5.13 and 6.7 (landlock(7)).
const (
	LandlockFiles = 1
	LandlockTCP   = 4
)

// Landlock returns the version of the interface that the kernel has; 0 when it
// has none, or does not use it.
func Landlock() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// Kill ends a worker and all that it started.
func Kill(worker *exec.Cmd) error {
	if worker.Process == nil {
		return nil
	}
	err := syscall.Kill(-worker.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
