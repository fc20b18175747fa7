package verify_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// bothWays runs a test with evidence of a certificate, which is invalid when
// it is tampered with, and with that of a key in a log, which then is nobody's.
func bothWays(t *testing.T, in *instance, test func(t *testing.T, trusted *verify.Trusted, by *certificate, want policy.Verification)) {
	t.Helper()
	key := &certificate{key: in.newKey()}
	trusted := in.trusting(byDefault(), in.keyInLog(key.key))
	t.Run("certificate", func(t *testing.T) { test(t, trusted, in.leaf(workflow), policy.Invalid) })
	t.Run("key", func(t *testing.T) { test(t, trusted, key, policy.UnknownSigner) })
}

// A log entry that the log never made: its promise is by another key, or over
// another entry.
func TestAttack_CVE_2022_23649(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	other := in.newLog("log.example")
	other.id = in.logs[0].id
	lies := map[string]func(*protorekor.TransparencyLogEntry){
		"by another key": func(e *protorekor.TransparencyLogEntry) {
			e.InclusionPromise.SignedEntryTimestamp = in.promise(other, e.GetCanonicalizedBody(), in.now, e.GetLogIndex())
		},
		"over another body": func(e *protorekor.TransparencyLogEntry) {
			e.InclusionPromise.SignedEntryTimestamp = in.promise(in.logs[0], []byte(`{"kind":"dsse"}`), in.now, e.GetLogIndex())
		},
		"over another time": func(e *protorekor.TransparencyLogEntry) {
			e.InclusionPromise.SignedEntryTimestamp = in.promise(in.logs[0], e.GetCanonicalizedBody(), in.now.Add(time.Second), e.GetLogIndex())
		},
		"over another place": func(e *protorekor.TransparencyLogEntry) { e.LogIndex++ },
		"in another log":     func(e *protorekor.TransparencyLogEntry) { e.LogId.KeyId = bytes.Repeat([]byte{1}, 32) },
	}
	bothWays(t, in, func(t *testing.T, trusted *verify.Trusted, by *certificate, want policy.Verification) {
		t.Helper()
		for name, lie := range lies {
			for _, f := range forms() {
				e := in.of(f, by)
				wantVerified(t, trusted, e)
				lie(e.entries[0])
				wantRefused(t, trusted, e.item(t), want, "")
				t.Log(name, f)
			}
		}
		for _, f := range forms() {
			e := in.of(f, by)
			e.entries = nil
			wantRefused(t, trusted, e.item(t), want, "")
		}
	})
}

// Parts of two good pieces of evidence about the same image, put together:
// certificate, signature and log entry in all six mixes.
func TestAttack_CVE_2022_36056(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	trusted := in.trusting(byDefault())
	for _, f := range forms() {
		ours, theirs := in.of(f, in.leaf(workflow)), in.of(f, in.leaf(stranger))
		wantVerified(t, trusted, ours)
		wantVerified(t, trusted, theirs)
		for mix := 1; mix < 7; mix++ {
			e := ours
			if mix&1 != 0 {
				e.cert = theirs.cert
			}
			if mix&2 != 0 {
				e.signature, e.timestamps = theirs.signature, theirs.timestamps
			}
			if mix&4 != 0 {
				e.entries = theirs.entries
			}
			t.Run(fmt.Sprintf("%s/%03b", f, mix), func(t *testing.T) {
				wantRefused(t, trusted, e.item(t), policy.Invalid, "its certificate is of the trust root acme, but")
			})
		}
	}
}

// A good log entry, about another image that the same certificate or key
// signed.
func TestAttack_CVE_2026_22703(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	bothWays(t, in, func(t *testing.T, trusted *verify.Trusted, by *certificate, want policy.Verification) {
		t.Helper()
		for _, f := range forms() {
			want := want
			e := in.of(f, by)
			foreign := in.signed(f, by, payloadOf(f, "sha256:"+string(bytes.Repeat([]byte("cd"), 32))))
			e.entries = foreign.entries
			wantRefused(t, trusted, e.item(t), want, "")
			// In another signature's place: the entry of the other kind.
			e.entries = in.of(map[form]form{sig: att, att: sig, bundle: sig}[f], by).entries
			wantRefused(t, trusted, e.item(t), want, "")
			// Right in all but the digest of what was signed.
			forged := e
			forged.payload = foreign.payload
			e.entries = []*protorekor.TransparencyLogEntry{in.entry(in.logs[0], forged, by, in.now, 7)}
			if f == sig {
				want = policy.Invalid // no log takes an entry whose signature is not over its digest
			}
			wantRefused(t, trusted, e.item(t), want, "")
		}
	})
}

// The log entry of another signature by the same signer over the same bytes;
// and bytes that only look the same once they are written anew.
func TestAttack_CVE_2024_51746(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	bothWays(t, in, func(t *testing.T, trusted *verify.Trusted, by *certificate, want policy.Verification) {
		t.Helper()
		for _, f := range forms() {
			e := in.of(f, by)
			e.entries = in.of(f, by).entries
			wantRefused(t, trusted, e.item(t), want, "")
			e = in.of(f, by)
			wantVerified(t, trusted, e)
			e.payload = bytes.Replace(e.payload, []byte(`,"`), []byte(`, "`), 1)
			wantRefused(t, trusted, e.item(t), want, "")
		}
	})
}

// Two entries of one log where two logs are asked for, and two timestamps of
// one certificate log where those of two are.
func TestAttack_CVE_2026_49834(t *testing.T) {
	t.Parallel()
	t.Run("log entries", func(t *testing.T) {
		t.Parallel()
		in := newInstance(t)
		in.logs = append(in.logs, in.newLog("second.example"))
		trusted := in.trusting(verify.Require{LogEntries: 2})
		leaf := in.leaf(workflow)
		e := in.of(bundle, leaf)
		wantVerified(t, trusted, e)
		e.entries[1] = in.entry(in.logs[0], e, leaf, in.now, 2000)
		wantRefused(t, trusted, e.item(t), policy.Invalid, "not enough verified log entries")
		e.entries[1] = e.entries[0]
		wantRefused(t, trusted, e.item(t), policy.Invalid, "duplicate")
	})
	t.Run("certificate timestamps", func(t *testing.T) {
		t.Parallel()
		in := newInstance(t)
		in.ctlogs = append(in.ctlogs, in.newLog("second-ct.example"))
		trusted := in.trusting(verify.Require{CertificateTimestamps: 2, LogEntries: 1})
		for _, f := range forms() {
			wantVerified(t, trusted, in.of(f, in.leaf(workflow)))
			twice := in.leafIn([]*logKey{in.ctlogs[0], in.ctlogs[0]}, workflow)
			wantRefused(t, trusted, in.of(f, twice).item(t), policy.Invalid, "only able to verify 1 SCT entries")
		}
	})
	t.Run("timestamps", func(t *testing.T) {
		t.Parallel()
		in := newInstance(t)
		in.tsas = append(in.tsas, in.newTSA("second"))
		trusted := in.trusting(verify.Require{Timestamps: 2})
		e := in.of(bundle, in.leaf(workflow))
		wantVerified(t, trusted, e)
		e.timestamps[1] = in.stamp(in.tsas[0], e.signature, in.now.Add(time.Second))
		wantRefused(t, trusted, e.item(t), policy.Invalid, "threshold not met")
	})
}

// The key of a log is used after its time: the promise, the proof alone with
// a timestamp, and the certificate's.
func TestAttack_CVE_2026_54787(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retire  func(*instance)
		spoil   func(*evidence)
		because string
	}{
		"log, promised": {func(in *instance) { in.logs[0].until = in.now.Add(-time.Second) }, nil, "not enough verified log entries"},
		"log, proven": {
			func(in *instance) { in.logs[0].until = in.now.Add(-time.Second) },
			func(e *evidence) { e.entries[0].InclusionPromise = nil }, "outside of the validity of the key of the log",
		},
		"log, not yet": {
			func(in *instance) { in.logs[0].from = in.now.Add(time.Second) },
			func(e *evidence) { e.entries[0].InclusionPromise = nil }, "outside of the validity of the key of the log",
		},
		"certificate log": {func(in *instance) { in.ctlogs[0].until = in.now.Add(-time.Second) }, nil, "only able to verify 0 SCT entries"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInstance(t)
			key := &certificate{key: in.newKey()}
			before := in.trusting(byDefault(), in.keyInLog(key.key))
			byCertificate, byKey := in.of(bundle, in.leaf(workflow)), in.of(bundle, key)
			if tt.spoil != nil {
				tt.spoil(&byCertificate)
				tt.spoil(&byKey)
			}
			wantVerified(t, before, byCertificate)
			wantVerified(t, before, byKey)
			tt.retire(in)
			after := in.trusting(byDefault(), in.keyInLog(key.key))
			wantRefused(t, after, byCertificate.item(t), policy.Invalid, tt.because)
			if name != "certificate log" {
				wantRefused(t, after, byKey.item(t), policy.UnknownSigner, "")
			}
		})
	}
}

// The authority that issued the certificate had expired when it was used,
// though the certificate itself and the root had not.
func TestAttack_CVE_2026_24122(t *testing.T) {
	t.Parallel()
	for name, require := range map[string]verify.Require{"by the log's time": byDefault(), "by timestamps only": byClocks()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInstance(t)
			for _, f := range forms() {
				wantVerified(t, in.trusting(require), in.of(f, in.leaf(workflow)))
			}
			in.issuing = in.certify(authority("issuing", func(c *x509.Certificate) { c.NotAfter = in.now.Add(-time.Minute) }), in.root)
			for _, f := range forms() {
				wantRefused(t, in.trusting(require), in.of(f, in.leaf(workflow)).item(t), policy.Invalid, "failed to verify leaf certificate")
			}
		})
	}
}
