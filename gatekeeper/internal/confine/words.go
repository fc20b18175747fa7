package confine

import (
	"fmt"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// outOfTime is how a worker's last words begin when its CPU time is used up.
const outOfTime = "it needed more than"

// EndInWords ends the process when its CPU time is used up, and says so. The Go
// runtime ignores the signal, and the next one comes without a word. It returns
// at once.
func EndInWords(seconds uint64) {
	used := make(chan os.Signal, 1)
	signal.Notify(used, unix.SIGXCPU)
	go func() {
		<-used
		fmt.Fprintf(os.Stderr, "%s %d s of CPU time\n", outOfTime, seconds)
		os.Exit(1)
	}()
}

// OutOfTime knows the last words of a process whose CPU time was used up.
func OutOfTime(words string) bool { return strings.HasPrefix(words, outOfTime) }

// OutOfMemory knows the last words of a process that got no more memory: for
// the heap, or for a thread's stack.
func OutOfMemory(words string) bool {
	for _, text := range []string{
		"out of memory", "cannot allocate memory", "pthread_create failed", "failed to create new OS thread", "failed to reserve", "cannot reserve arena",
	} {
		if strings.Contains(words, text) {
			return true
		}
	}
	return false
}
