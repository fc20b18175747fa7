package confine

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
)

// Kernel is what the kernel, and the container, let a worker be confined with.
type Kernel struct {
	Namespaces uintptr // that workers get
	Refused    string  // why they get none
	Landlock   int     // version of the interface; 0: none
	Calls      bool    // system calls can be refused (seccomp(2))
}

// Probe finds out, by starting this binary with the arguments, which have to
// make it end at once.
func Probe(arguments ...string) (Kernel, error) {
	k := Kernel{Namespaces: ProcessesToo, Landlock: Landlock(), Calls: canRefuseCalls()}
	self, err := os.Executable()
	if err != nil {
		return k, fmt.Errorf("find the worker's program: %w", err)
	}
	try := func() error {
		probe := exec.Command(self, arguments...) //nolint:gosec,noctx // this program itself; it ends at once
		probe.Env = []string{}
		return Cell{Kernel: k}.Run(probe)
	}
	refused := try()
	if refused == nil {
		return k, nil
	}
	k.Namespaces, k.Refused = 0, refused.Error()
	if err := try(); err != nil {
		return k, fmt.Errorf("start a confined worker: %w", err)
	}
	return k, nil
}

// Missing lists what workers are not confined with, in words; empty: nothing
// is missing.
func (k Kernel) Missing() []string {
	var missing []string
	for _, m := range k.mechanisms() {
		if m.without != "" {
			missing = append(missing, m.name+": "+m.without)
		}
	}
	return missing
}

// Log says which confinement is in force, a line for each mechanism.
func (k Kernel) Log(log *slog.Logger, worker string) {
	for _, m := range k.mechanisms() {
		attrs := []any{slog.String("worker", worker), slog.String("mechanism", m.name)}
		if m.without == "" {
			log.Info("a confinement is in force", append(attrs, slog.String("keeps", m.keeps))...)
			continue
		}
		log.Warn("a confinement is missing", append(attrs, slog.String("reason", m.without))...)
	}
}

// mechanism is one way to confine workers.
type mechanism struct {
	name    string
	keeps   string // what it does
	without string // why it is not there, and what that means; empty: it is
}

func (k Kernel) mechanisms() []mechanism {
	all := []mechanism{
		{name: "limits", keeps: "bounded memory, CPU time, open files and file sizes"},
		{name: "privileges", keeps: "no capabilities, and none to be had"},
		{name: "namespaces", keeps: "no network, no signals to other processes, a mount table of their own"},
		{name: "landlock", keeps: "only the image, the database and a temporary folder can be opened, by version " + strconv.Itoa(k.Landlock)},
		{name: "seccomp", keeps: "no sockets, no new processes, no tracing, no mounts"},
	}
	if k.Namespaces == 0 {
		all[2].without = "the kernel or the container refuses it: " + k.Refused
	}
	if k.Landlock < LandlockFiles {
		all[3].without = "the kernel has none (5.13 or later, with landlock among its security modules): workers can read what the service's user can read"
	}
	if !k.Calls {
		all[4].without = "the kernel takes no filter, or none is known for this architecture: workers can start processes" + k.network()
	}
	return all
}

// network is what else workers can do without a filter of system calls.
func (k Kernel) network() string {
	switch {
	case k.Namespaces != 0:
		return ""
	case k.Landlock >= LandlockTCP:
		return " and send over UDP"
	}
	return " and reach the network"
}
