// Package confine keeps processes that touch hostile content small: the
// service starts its own binary again as a worker, in namespaces of its own
// where the kernel allows it, and the worker gives up what it does not need
// before it reads anything.
package confine

import (
	"errors"
	"fmt"
	"os/exec"
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

// Kill ends a worker and all that it started.
func Kill(worker *exec.Cmd) error {
	if worker.Process == nil {
		return nil
	}
	var errs []error
	// The worker by itself too: it may have left its group.
	for _, pid := range []int{-worker.Process.Pid, worker.Process.Pid} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
