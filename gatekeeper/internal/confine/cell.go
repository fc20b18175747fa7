package confine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cell is where a worker runs: with no capability, no way to more privileges,
// and only the files it is given.
type Cell struct {
	Kernel Kernel
	Read   []string // files, and folders with all below them
	Write  []string // folders in which the worker does as it likes
	// Started is called with the worker's process ID. May be nil.
	Started func(pid int)
}

// Run starts a worker and waits for its end, as exec.Cmd.Run does. The worker
// does not outlive this process.
//
// It runs in a thread of its own, which gives up its capabilities and the file
// system before it starts the worker, and dies with it: what a thread gives up,
// its children never had, and other threads keep.
func (c Cell) Run(worker *exec.Cmd) error {
	grants, err := c.grants(worker.Path)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: no other goroutine gets this thread
		done <- c.run(worker, grants)
	}()
	return <-done
}

func (c Cell) grants(path string) ([]grant, error) {
	grants, err := programGrants(path)
	if err != nil {
		return nil, err
	}
	grants = append(grants, grant{os.DevNull, readWrite})
	for _, path := range c.Read {
		grants = append(grants, grant{path, readOnly})
	}
	for _, path := range c.Write {
		grants = append(grants, grant{path, readWrite})
	}
	return grants, nil
}

func (c Cell) run(worker *exec.Cmd, grants []grant) error {
	// No user is mapped: the files are the user's of this process all the
	// same, and the worker has no capability in its own namespaces either.
	worker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: c.Kernel.Namespaces}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	if err := dropCapabilities(); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	if c.Kernel.Landlock >= LandlockFiles {
		if err := restrictThread(c.Kernel.Landlock, grants); err != nil {
			return err
		}
	}
	if err := worker.Start(); err != nil {
		return err
	}
	if c.Started != nil {
		c.Started(worker.Process.Pid)
	}
	return worker.Wait()
}

// dropCapabilities gives up those of the calling thread.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}

// EndFirst has the kernel end a process before others when memory runs out.
func EndFirst(pid int) error {
	return os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj"), []byte("1000"), 0)
}
