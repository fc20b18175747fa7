package confine

import "golang.org/x/sys/unix"

const (
	architecture = unix.AUDIT_ARCH_AARCH64
	foreignCalls = 0xffffffff // none
)

// refusedHere are the calls that only this architecture has.
func refusedHere() []uint32 { return []uint32{unix.SYS_KEXEC_FILE_LOAD} }
