package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a filter does with a system call (seccomp(2)).
const (
	allow  = unix.SECCOMP_RET_ALLOW
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	end    = unix.SECCOMP_RET_KILL_PROCESS
)

// Where struct seccomp_data has the number of the call, the architecture and
// the lower half of the first argument, in bytes.
const (
	atNumber       = 0
	atArchitecture = 4
	atArgument     = 16
)

// refused are the calls that no worker needs, and that are the ways out of a
// process: to the network, to other processes, to the kernel, to memory that
// counts for nobody.
func refused() []uint32 {
	return append(refusedHere(),
		unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_SETPGID, unix.SYS_SETSID, unix.SYS_TKILL,
		unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP,
		unix.SYS_SETPRIORITY, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETAFFINITY,
		unix.SYS_IOPRIO_SET, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT, unix.SYS_MOUNT, unix.SYS_UMOUNT2,
		unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
		unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_QUOTACTL, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SYSLOG,
		unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET, unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_MSGGET, unix.SYS_SEMGET, unix.SYS_MQ_OPEN,
		unix.SYS_FANOTIFY_INIT, unix.SYS_PERSONALITY, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	)
}

// ownOnly are the calls whose first argument is a process: 0 and this one are
// allowed.
func ownOnly() []uint32 {
	return []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_PRLIMIT64}
}

// filter is the program for a process of an ID.
func filter(pid uint32) []unix.SockFilter {
	var code []unix.SockFilter
	load := func(at uint32) {
		code = append(code, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at})
	}
	give := func(answer uint32) { code = append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: answer}) }
	jump := func(test uint16, k uint32, yes, no uint8) {
		code = append(code, unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no})
	}
	load(atArchitecture)
	jump(unix.BPF_JEQ, architecture, 1, 0)
	give(end)
	load(atNumber)
	jump(unix.BPF_JGE, foreignCalls, 0, 1)
	give(end)
	for _, call := range refused() {
		jump(unix.BPF_JEQ, call, 0, 1)
		give(refuse)
	}
	// What clone3 does is behind a pointer. Callers know what to do without
	// it.
	jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1)
	give(absent)
	// A thread is no new process.
	jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4)
	load(atArgument)
	jump(unix.BPF_JSET, unix.CLONE_THREAD, 0, 1)
	give(allow)
	give(refuse)
	// The worker ends with the service, which sees what it has open.
	jump(unix.BPF_JEQ, unix.SYS_PRCTL, 0, 5)
	load(atArgument)
	jump(unix.BPF_JEQ, unix.PR_SET_PDEATHSIG, 1, 0)
	jump(unix.BPF_JEQ, unix.PR_SET_DUMPABLE, 0, 1)
	give(refuse)
	give(allow)
	for _, call := range ownOnly() {
		jump(unix.BPF_JEQ, call, 0, 5)
		load(atArgument)
		jump(unix.BPF_JEQ, pid, 2, 0)
		jump(unix.BPF_JEQ, 0, 1, 0)
		give(refuse)
		give(allow)
	}
	give(allow)
	return code
}

// RefuseCalls refuses this process, in all its threads and for good, the system
// calls that a worker does not need. On architectures it does not know it does
// nothing; Kernel.Calls says so.
func RefuseCalls() error {
	if !canRefuseCalls() {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	code := filter(uint32(os.Getpid()))                                                                                                                 //nolint:gosec // a process ID
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}                                                                                 //nolint:gosec // some two hundred
	failed, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))) //nolint:gosec // the kernel reads it during the call
	runtime.KeepAlive(code)
	switch {
	case errno != 0:
		return fmt.Errorf("refuse system calls: %w", errno)
	case failed != 0:
		return errors.New("refuse system calls: a thread has a filter of its own")
	}
	return nil
}

// canRefuseCalls says whether the kernel takes filters.
func canRefuseCalls() bool {
	if architecture == 0 {
		return false
	}
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action))) //nolint:gosec // the kernel reads it during the call
	return errno == 0
}
