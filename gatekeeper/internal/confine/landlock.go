package confine

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// What may be done with files and folders, of all that Landlock knows.
const (
	readOnly  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	program   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	readWrite = readOnly | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR
	ofFiles = program | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// handled is what a version of the interface can refuse.
func handled(version int) unix.LandlockRulesetAttr {
	var all unix.LandlockRulesetAttr
	all.Handled_access_fs = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // everything of version 1
	for since, access := range map[int]uint64{2: unix.LANDLOCK_ACCESS_FS_REFER, 3: unix.LANDLOCK_ACCESS_FS_TRUNCATE, 5: unix.LANDLOCK_ACCESS_FS_IOCTL_DEV} {
		if version >= since {
			all.Handled_access_fs |= access
		}
	}
	if version >= LandlockTCP {
		all.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 6 {
		// Not of signals: before Linux 6.15 that cuts a thread off from the
		// others of its process.
		all.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	return all
}

// grant is a path and what may be done with it and with all below it.
type grant struct {
	path   string
	access uint64
}

// restrictThread leaves the calling thread, and what it starts, the grants and
// nothing else of the file system, and no TCP.
func restrictThread(version int, grants []grant) (err error) {
	attr := handled(version)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0) //nolint:gosec // the kernel reads it during the call
	if errno != 0 {
		return fmt.Errorf("make a Landlock ruleset: %w", errno)
	}
	ruleset := int(fd)
	defer func() { err = errors.Join(err, unix.Close(ruleset)) }()
	for _, g := range grants {
		if err := g.add(ruleset, attr.Handled_access_fs); err != nil {
			return fmt.Errorf("let a worker use %s: %w", g.path, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("enforce Landlock: %w", errno)
	}
	return nil
}

// add adds a grant to a ruleset. A path that is not there grants nothing.
func (g grant) add(ruleset int, handled uint64) (err error) {
	info, err := os.Stat(g.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fd, err := unix.Open(g.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	allowed := g.access & handled
	if !info.IsDir() {
		allowed &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: allowed, Parent_fd: int32(fd)}                                                                  //nolint:gosec // a file descriptor
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0) //nolint:gosec // the kernel reads it during the call
	runtime.KeepAlive(&rule)
	if errno != 0 {
		return errno
	}
	return nil
}

// programGrants are what it takes to start a program: its file, and the
// libraries when it is not linked statically.
func programGrants(path string) (_ []grant, err error) {
	grants := []grant{{path, program}}
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the worker's program: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			for _, libraries := range []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"} {
				grants = append(grants, grant{libraries, readOnly | program})
			}
			return append(grants, grant{"/etc/ld.so.cache", readOnly}), nil
		}
	}
	return grants, nil
}
