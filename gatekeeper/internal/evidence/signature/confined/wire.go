// Package confined verifies evidence in processes of their own: a panic, a
// runaway allocation or a hang in the verification of hostile bytes ends that
// one judgement, with an error, and nothing else.
package confined

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
)

// Argument is the first argument of a process that verifies: the binary starts
// itself again with it.
const Argument = "verify-worker"

// probeArgument asks a worker to end at once.
const probeArgument = "probe"

// The limits of one frame, in bytes.
const (
	maxQuestion = 16 << 20 // trust roots, certificates and annotations
	maxData     = 64 << 20
	maxReply    = 64 << 20
)

// question is what a worker is asked; the item's data follows in a frame of
// its own.
type question struct {
	Trust verify.Trust `json:"trust"`
	Item  verify.Item  `json:"item"`
}

// reply is what a worker answers.
type reply struct {
	Answer verify.Answer `json:"answer"`
	Error  string        `json:"error,omitempty"`
}

// A frame is its length, in four bytes, and that many bytes.
func writeFrame(w io.Writer, data []byte) error {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(data))) //nolint:gosec // bounded by the limits of what is read
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func readFrame(r io.Reader, limit uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > limit {
		return nil, fmt.Errorf("a frame of %d bytes; at most %d are read", n, limit)
	}
	data := make([]byte, n)
	_, err := io.ReadFull(r, data)
	return data, err
}

func writeJSON(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, data)
}

func readJSON(r io.Reader, limit uint32, v any) error {
	data, err := readFrame(r, limit)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
