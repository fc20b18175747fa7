package signature_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/verify"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// A trust root that cannot be had, and a revocation that nobody knows, hide
// what needs them and nothing else.
func TestWhatIsNotKnownHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	at := policy.Subject{Registry: "staging", Repository: "a", Digest: subject}
	w := newNotaryWorld(t)
	tests := map[string]struct {
		authority policy.Authority
		text      string
	}{
		"the trust root of certificates": {policy.Authority{ID: "keyless", Keyless: &policy.Keyless{}, TrustRoot: "down"}, "trust root down"},
		"the trust root of a key":        {policy.Authority{ID: "logged", PublicKey: newSigner(t, "Ed25519").authority.PublicKey, TrustRoot: "down"}, "trust root down"},
		"a revocation":                   {policy.Authority{ID: "notary", Notary: &policy.Notary{Certificates: w.root.pem(), Identities: []string{"*"}}}, "could not decide"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := image{newStore()}
			source.putNotary(t, notarySign(t, nil, issueCert(t, "builder", w.root, asCodeSigner, listedAt(w.url+"/none")), w.root))
			source.putReferrer(ci.bundle(statement(subject, signPredicate, "{}")))
			c := signature.New(signature.Deps{Source: source, Verifier: here{}, TrustRoots: noRoots{}, Now: time.Now})
			got, err := c.CollectSigned(t.Context(), at, []policy.Authority{tt.authority, ci.authority})
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v; want an error with %q", err, tt.text)
			}
			if len(got.Signatures) != 1 || got.Signatures[0].Result != policy.Verified || got.Signatures[0].VerifiedBy[0] != ci.authority.ID {
				t.Errorf("%+v; want the one that needs nobody else", got.Signatures)
			}
		})
	}
}

// Many referrers with many layers each are bounded together.
func TestAttack_LayersOfManyReferrers(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	s := newStore()
	for i := range 20 {
		var layers []layer
		for n := range 20 {
			layers = append(layers, layer{mediaType: ci.bundle(nil).mediaType, data: []byte{byte(i), byte(n)}})
		}
		s.putReferrer(layers...)
	}
	got, err := collect(t, s, ci)
	if err == nil || !strings.Contains(err.Error(), "400 layers of referrers; at most 100 are judged (evidence.maxEntries)") {
		t.Errorf("%v", err)
	}
	if n := len(got.Signatures) + len(got.Attestations); n != 100 {
		t.Errorf("%d were judged, want 100", n)
	}
}

// heldStore keeps every item with a large blob waiting, until it is let go.
type heldStore struct {
	*store

	letGo chan struct{}
	large atomic.Int32
}

func (h *heldStore) Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error) {
	if d.Size >= 1<<20 {
		h.large.Add(1)
		select {
		case <-h.letGo:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.store.Blob(ctx, r, d, limit)
}

// Large evidence that takes its time does not hold up a small signature of
// another image.
func TestSmallItemsDoNotWaitForLargeOnes(t *testing.T) {
	ci := newSigner(t, "ECDSA P-256")
	s := newStore()
	s.putTag(sigTag, ci.simple(subject))
	s.putTag(strings.Replace(other, ":", "-", 1)+".att", layer{mediaType: verify.TypeDSSE, data: make([]byte, 16<<20)})
	synctest.Test(t, func(t *testing.T) {
		held := &heldStore{store: s, letGo: make(chan struct{})}
		c := collector(held)
		done := make(chan error, 4)
		for range cap(done) {
			go func() {
				_, err := c.CollectSigned(t.Context(), policy.Subject{Digest: other}, []policy.Authority{ci.authority})
				done <- err
			}()
		}
		synctest.Wait()
		if n := held.large.Load(); n != 2 {
			t.Errorf("%d large items are read at a time, want 2", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := c.CollectSigned(ctx, policy.Subject{Digest: subject}, []policy.Authority{ci.authority})
		if err != nil || len(got.Signatures) != 1 || got.Signatures[0].Result != policy.Verified {
			t.Errorf("%+v, %v", got, err)
		}
		close(held.letGo)
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// waiting is a verifier that answers when it is let go.
type waiting struct {
	letGo   chan struct{}
	at      atomic.Int32
	lookups []verify.Lookup
}

func (w *waiting) Verify(_ context.Context, _ verify.Trust, item verify.Item) (verify.Answer, error) {
	if w.lookups != nil && item.Revoked == nil {
		return verify.Answer{Lookups: w.lookups}, nil
	}
	w.at.Add(1)
	<-w.letGo
	return verify.Answer{Result: policy.Malformed, Reason: "as the test says"}, nil
}

// What is stored compressed takes the room that it may need decompressed.
func TestAttack_CompressedEvidenceCounts(t *testing.T) {
	ci := newSigner(t, "ECDSA P-256")
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	s := newStore()
	s.putTag(attTag, layer{mediaType: verify.TypeDSSE, data: buf.Bytes()})
	synctest.Test(t, func(t *testing.T) {
		w := &waiting{letGo: make(chan struct{})}
		c := signature.New(signature.Deps{Source: s, Verifier: w, TrustRoots: noRoots{}, Now: time.Now})
		done := make(chan error, 5)
		for range cap(done) {
			go func() {
				_, err := c.CollectSigned(t.Context(), policy.Subject{Digest: subject}, []policy.Authority{ci.authority})
				done <- err
			}()
		}
		synctest.Wait()
		if n := w.at.Load(); n != 2 {
			t.Errorf("%d are verified at a time, want 2 of 16 MiB", n)
		}
		close(w.letGo)
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// slowIssuer never answers.
type slowIssuer struct{ asked atomic.Int32 }

func (s *slowIssuer) Revoked(ctx context.Context, _, _ *x509.Certificate) (bool, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return false, ctx.Err()
}

// While an issuer is asked, no room is taken from others.
func TestLookupsHoldNoMemory(t *testing.T) {
	root := issueCert(t, "root", nil, asCA)
	own := issueCert(t, "builder", root, asCodeSigner, listedAt("http://list.example"))
	source := image{newStore()}
	source.putNotary(t, make([]byte, 16<<20))
	authority := policy.Authority{ID: "notary", Notary: &policy.Notary{Certificates: root.pem(), Identities: []string{"*"}}}
	synctest.Test(t, func(t *testing.T) {
		w := &waiting{lookups: []verify.Lookup{{Chain: [][]byte{own.Raw, root.Raw}}}, letGo: make(chan struct{})}
		close(w.letGo)
		issuer := &slowIssuer{}
		c := signature.New(signature.Deps{Source: source, Verifier: w, TrustRoots: noRoots{}, Now: time.Now, Revocation: issuer})
		done := make(chan error, 5)
		for range cap(done) {
			go func() {
				_, err := c.CollectSigned(t.Context(), policy.Subject{Digest: subject}, []policy.Authority{authority})
				done <- err
			}()
		}
		synctest.Wait()
		if n := issuer.asked.Load(); n != 5 {
			t.Errorf("%d lookups at a time, want 5: the others wait for memory", n)
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
