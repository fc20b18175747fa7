package worker

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
)

// inWords says which limit an error is about. The libraries keep the text of
// the kernel's errors, not always the error.
func inWords(err error, l scan.Limits) string {
	text := err.Error()
	says := func(errno syscall.Errno) bool { return strings.Contains(text, errno.Error()) }
	switch {
	case says(syscall.EMFILE):
		return fmt.Sprintf("the scanner needed more than %d open files, and gets no more: %s", l.Files, text)
	case says(syscall.EFBIG):
		return fmt.Sprintf("the scanner needed a file of more than %d MiB (scanner.disk): %s", l.Unpacked>>20, text)
	case says(syscall.ENOSPC) || says(syscall.EDQUOT):
		return "there is no more room where images are unpacked: " + text
	case says(syscall.ENOMEM):
		return fmt.Sprintf("the scanner needed more than %d MiB of memory (scanner.memory): %s", l.Memory>>20, text)
	}
	return text
}

// passedOver is an error when a limit kept the scanner from part of the image,
// which it lists as unknown and goes on.
func (c catalogued) passedOver() error {
	for at, reasons := range c.sbom.Artifacts.Unknowns {
		for _, reason := range reasons {
			for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EFBIG, syscall.ENOSPC, syscall.EDQUOT, syscall.ENOMEM} {
				if strings.Contains(reason, errno.Error()) {
					return fmt.Errorf("%s could not be looked into: %s", at.RealPath, reason)
				}
			}
		}
	}
	return nil
}
