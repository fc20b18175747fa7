package verify

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// checkTimes asks for more of a verified bundle than sigstore-go does: it
// passes over a timestamp from outside of its authority's validity, or a
// second one of an authority, when another one is good, and never asks whether
// the key of a log counted when there is only a proof of inclusion. Each is the
// sign of a key that was retired, or of a certificate that had ended, and is
// used all the same. The leaf is nil for what a plain key signed.
func (r trustRoot) checkTimes(b *bundle.Bundle, leaf *x509.Certificate, verified []verify.TimestampVerificationResult) error {
	content, err := b.SignatureContent()
	if err != nil {
		return err
	}
	timestamps, err := b.Timestamps()
	if err != nil {
		return err
	}
	for _, timestamp := range timestamps {
		at, known, retired := r.stamped(timestamp, content.Signature())
		switch {
		case retired:
			return fmt.Errorf("a timestamp of %s is from outside of its authority's validity", at.UTC().Format(time.RFC3339))
		case known && leaf != nil && (at.Before(leaf.NotBefore) || at.After(leaf.NotAfter)):
			return fmt.Errorf("a timestamp of %s is from outside of the certificate's validity", at.UTC().Format(time.RFC3339))
		}
	}
	logs := r.material.RekorLogs()
	for _, entry := range b.GetVerificationMaterial().GetTlogEntries() {
		log, known := logs[hex.EncodeToString(entry.GetLogId().GetKeyId())]
		if !known {
			continue
		}
		for _, v := range verified {
			if v.Timestamp.Before(log.ValidityPeriodStart) || (!log.ValidityPeriodEnd.IsZero() && v.Timestamp.After(log.ValidityPeriodEnd)) {
				return fmt.Errorf("signed at %s, outside of the validity of the key of the log %s", v.Timestamp.UTC().Format(time.RFC3339), log.BaseURL)
			}
		}
	}
	return nil
}

// stamped says when an authority of the trust root made a timestamp, and
// whether it is retired: by none that counted at that time. A stranger's
// timestamp is not known, and says nothing, good or bad.
func (r trustRoot) stamped(timestamp, signature []byte) (at time.Time, known, retired bool) {
	for _, authority := range r.material.TimestampingAuthorities() {
		if t, err := authority.Verify(timestamp, signature); err == nil {
			return t.Time, true, false
		}
		sigstore, ok := authority.(*root.SigstoreTimestampingAuthority)
		if !ok {
			continue
		}
		ever := *sigstore
		ever.ValidityPeriodStart, ever.ValidityPeriodEnd = time.Time{}, time.Time{}
		if t, err := ever.Verify(timestamp, signature); err == nil {
			at, known, retired = t.Time, true, true
		}
	}
	return at, known, retired
}
