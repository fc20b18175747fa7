package signature_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// raw stores a manifest whose layers are changed before it is written.
func (s *store) raw(t *testing.T, refersTo string, change func(layer map[string]any), layers ...layer) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(s.manifests[s.put(refersTo, layers...)], &m); err != nil {
		t.Fatal(err)
	}
	list, _ := m["layers"].([]any)
	for _, l := range list {
		if l, ok := l.(map[string]any); ok {
			change(l)
		}
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	s.manifests[digestOf(body)] = body
	return digestOf(body)
}

func about(digest string) policy.Subject {
	return policy.Subject{Registry: "staging", Repository: "a", Digest: digest}
}

// cosign can keep its older layers in a manifest that refers to the subject.
func TestOlderLayersInReferrers(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	s := newStore()
	s.putReferrer(ci.simple(subject))
	s.putReferrer(ci.envelope(statement(subject, testPredicate, "{}")))
	got, err := collect(t, s, ci)
	if err != nil || len(got.Signatures) != 1 || len(got.Attestations) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if sig := got.Signatures[0]; sig.Form != "referrer" || sig.Result != policy.Verified || sig.Manifest != s.referrers[0].Digest {
		t.Errorf("%+v", sig)
	}
	if a := got.Attestations[0]; a.Form != "referrer" || a.Result != policy.Verified {
		t.Errorf("%+v", a)
	}
}

// A referrer that the list names twice, is gone, is somebody else's or holds
// no evidence is no trouble.
func TestOddReferrers(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	s := newStore()
	s.putReferrer(ci.bundle(statement(subject, signPredicate, "{}")))
	s.referrers = append(s.referrers, s.referrers[0], registry.Referrer{Descriptor: gatekeeper.Descriptor{Digest: other}},
		registry.Referrer{Descriptor: gatekeeper.Descriptor{Digest: s.put(other, ci.bundle(statement(subject, signPredicate, "{}")))}},
		registry.Referrer{Descriptor: gatekeeper.Descriptor{Digest: s.put("", ci.bundle(statement(subject, signPredicate, "{}")))}})
	s.putReferrer(layer{mediaType: "application/spdx+json", data: []byte("{}")})
	s.putReferrer()
	counted := &counting{store: s}
	got, err := collector(counted).CollectSigned(t.Context(), about(subject), []policy.Authority{ci.authority})
	if err != nil || len(got.Signatures) != 1 || len(got.Attestations) != 0 || got.Signatures[0].Result != policy.Verified {
		t.Errorf("%+v, %v", got, err)
	}
	if n := counted.blobs.Load(); n != 1 {
		t.Errorf("%d blobs read", n)
	}
}

// What is too large, or lies elsewhere, is malformed without being read, and
// takes nothing from the others.
func TestWhatIsNotReadTakesNothingFromTheOthers(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	for name, tt := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"too large":     {func(l map[string]any) { l["size"] = 17 << 20 }, "at most 16777216 are read"},
		"negative":      {func(l map[string]any) { l["size"] = -1 }, "it has -1 bytes"},
		"foreign layer": {func(l map[string]any) { l["urls"] = []string{"https://elsewhere.example/blob"} }, "fetched from elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore()
			s.putTag(sigTag, ci.simple(subject))
			bad := s.raw(t, subject, tt.change, ci.bundle(statement(subject, signPredicate, "{}")))
			s.referrers = append(s.referrers, registry.Referrer{Descriptor: gatekeeper.Descriptor{Digest: bad}})
			counted := &counting{store: s}
			got, err := collector(counted).CollectSigned(t.Context(), about(subject), []policy.Authority{ci.authority})
			if err != nil || len(got.Signatures) != 2 {
				t.Fatalf("%+v, %v", got, err)
			}
			for _, sig := range got.Signatures {
				want := policy.Verified
				if sig.Manifest == bad {
					want = policy.Malformed
				}
				if sig.Result != want || (want == policy.Malformed && !strings.Contains(sig.Reason, tt.want)) {
					t.Errorf("%+v", sig)
				}
			}
			if n := counted.blobs.Load(); n != 1 {
				t.Errorf("%d blobs read", n)
			}
		})
	}
}

// Behind a limit the rest is not known: what was found is given back with an
// error.
func TestLimitsGivePartOfTheEvidence(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	predicate := `{"text":"` + strings.Repeat("x", 1000) + `"}`
	s := newStore()
	s.putTag(sigTag, ci.simple(subject), ci.simple(subject), ci.simple(subject))
	s.putTag(attTag, ci.envelope(statement(subject, testPredicate, predicate)), ci.envelope(statement(subject, testPredicate, predicate+" ")))
	c := signature.New(signature.Deps{
		Source: s, Verifier: here{}, TrustRoots: noRoots{}, Now: time.Now, Limits: signature.Limits{Entries: 2, Predicates: 1500},
	})
	got, err := c.CollectSigned(t.Context(), about(subject), []policy.Authority{ci.authority})
	if err == nil || !strings.Contains(err.Error(), "3 entries under the tag") || !strings.Contains(err.Error(), "more than 1500 bytes together") {
		t.Errorf("got %v", err)
	}
	if len(got.Signatures) != 2 || len(got.Attestations) != 1 || got.Attestations[0].Result != policy.Verified {
		t.Errorf("%+v", got)
	}
}

// Without a trust root that a policy names, nothing is known.
func TestAMissingTrustRootIsAnError(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	ci.authority.TrustRoot = "acme"
	s := newStore()
	s.putTag(sigTag, ci.simple(subject))
	if got, err := collect(t, s, ci); err == nil || !strings.Contains(err.Error(), "trust root acme") {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzManifest(f *testing.F) {
	ci := newSigner(f, "ECDSA P-256")
	s := newStore()
	f.Add(s.manifests[s.put(subject, ci.simple(subject), ci.envelope(statement(subject, testPredicate, "{}")))])
	f.Add([]byte(`{"layers":[{"mediaType":"application/vnd.dsse.envelope.v1+json","digest":"sha256:","size":1,"urls":["x"]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newStore()
		s.manifests[digestOf(body)] = body
		s.tags[sigTag], s.tags[attTag] = digestOf(body), digestOf(body)
		s.referrers = []registry.Referrer{{Descriptor: gatekeeper.Descriptor{Digest: digestOf(body)}}}
		if _, err := collect(t, s, ci); err != nil && !strings.Contains(err.Error(), "are judged") {
			t.Error(err)
		}
	})
}
