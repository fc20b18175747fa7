package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Fingerprint names what a trust root holds now, as TrustRoot would return it,
// and what is required of it. It is the same after a restart. An error says
// that the trust root cannot be used now. Files are read again and repositories
// asked when it is time to, so that calling it keeps trust roots current.
func (s *Store) Fingerprint(ctx context.Context, name string) (string, error) {
	root, err := s.TrustRoot(ctx, name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	r := root.Require
	_, _ = fmt.Fprintf(h, "%d %d %d\n", r.CertificateTimestamps, r.LogEntries, r.Timestamps) // a hash takes everything
	_, _ = h.Write(root.Content)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
