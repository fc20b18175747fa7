package confine

import (
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// The namespaces of workers (namespaces(7)). One for processes is apart: it
// does not go together with Landlock's library, which finds the threads of the
// process in /proc. Cell needs no library.
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
