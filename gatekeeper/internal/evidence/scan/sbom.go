package scan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// MaxSBOM is the size of the largest SBOM that is read, in bytes.
const MaxSBOM = 16 << 20

// ScanSBOM implements gatekeeper.Scanner: it looks up what an SBOM lists. The
// document is read where layers are, in a confined process, and what was
// matched with the same database before is not matched again.
func (s *Scanner) ScanSBOM(ctx context.Context, sbom policy.SBOM) (*policy.Scan, *policy.Problem, error) {
	if len(sbom.Document) > MaxSBOM {
		return nil, nil, fmt.Errorf("the SBOM of the attestation %s has %d bytes; at most %d are read", sbom.Attestation, len(sbom.Document), MaxSBOM)
	}
	sum := sha256.Sum256(sbom.Document)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	prepare := func(_ context.Context, dir string) (Request, error) {
		file := filepath.Join(dir, "sbom.json")
		return Request{SBOM: file}, os.WriteFile(file, sbom.Document, 0o600)
	}
	r, err := s.remembered(ctx, "sbom "+digest, func(context.Context) (job, error) {
		return job{size: int64(len(sbom.Document)), prepare: prepare}, nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("scan the SBOM of the attestation %s: %w", sbom.Attestation, err)
	}
	if r.scan == nil {
		return nil, r.asProblem(), nil
	}
	// What is remembered is shared by all attestations of the document.
	found := *r.scan
	// The origin is what was asked for, whatever the worker says.
	found.Catalogue.From, found.Catalogue.Attestation, found.Catalogue.Document = policy.CatalogueSBOM, sbom.Attestation, digest
	return &found, r.asProblem(), nil
}
