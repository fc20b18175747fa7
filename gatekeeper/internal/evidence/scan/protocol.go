package scan

import "github.com/golden-gatekeeper/gatekeeper/policy"

// WorkerArgument is the first argument of a process that scans: the binary
// starts itself again with it.
const WorkerArgument = "scan-worker"

// ProbeArgument asks a worker to end at once; it shows whether a confined
// process can be started.
const ProbeArgument = "probe"

// Request is what a worker is asked, as JSON on its standard input.
type Request struct {
	Layout   string `json:"layout,omitempty"` // folder: OCI image layout with one image
	SBOM     string `json:"sbom,omitempty"`   // file: the document that stands in for a layout
	Database string `json:"database"`
	Limits   Limits `json:"limits"`
}

// Limits are what a worker may use. A zero value means the default.
type Limits struct {
	Memory   uint64 `json:"memory"`   // bytes of address space, of which half may be written to; 4 GiB
	CPU      uint64 `json:"cpu"`      // seconds; those of the scan's timeout
	Unpacked uint64 `json:"unpacked"` // bytes of all layers together, unpacked, and of one file; what the compressed ones leave of the disk
	Files    uint64 `json:"files"`    // open at a time; 1,024
}

// Response is what a worker answers, as JSON on its standard output.
type Response struct {
	// Scan has no Database when vulnerabilities could not be matched;
	// Problem says why.
	Scan    *policy.Scan `json:"scan,omitempty"`
	Problem string       `json:"problem,omitempty"`
	// Error says why the image could not be scanned at all.
	Error string `json:"error,omitempty"`
}
