package verify

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// checkTimes asks for more of a verified bundle than sigstore-go does: it
// passes over a timestamp from outside of its authority's validity when
// another one is good, and never asks whether the key of a log counted when
// there is only a proof of inclusion. Either is the sign of a key that was
// retired, and is used all the same.
func (r trustRoot) checkTimes(b *bundle.Bundle, verified []verify.TimestampVerificationResult) error {
	content, err := b.SignatureContent()
	if err != nil {
		return err
	}
	timestamps, err := b.Timestamps()
	if err != nil {
		return err
	}
	for _, timestamp := range timestamps {
		if at, retired := r.retired(timestamp, content.Signature()); retired {
			return fmt.Errorf("a timestamp of %s is from outside of its authority's validity", at.UTC().Format(time.RFC3339))
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

// retired says whether a timestamp is by an authority of the trust root, but
// by none that counted at its time.
func (r trustRoot) retired(timestamp, signature []byte) (at time.Time, retired bool) {
	for _, authority := range r.material.TimestampingAuthorities() {
		if _, err := authority.Verify(timestamp, signature); err == nil {
			return time.Time{}, false
		}
		known, ok := authority.(*root.SigstoreTimestampingAuthority)
		if !ok {
			continue
		}
		ever := *known
		ever.ValidityPeriodStart, ever.ValidityPeriodEnd = time.Time{}, time.Time{}
		if t, err := ever.Verify(timestamp, signature); err == nil {
			at, retired = t.Time, true
		}
	}
	return at, retired
}
