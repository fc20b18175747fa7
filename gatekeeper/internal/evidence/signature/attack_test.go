package signature_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

const (
	sbomPredicate = "https://spdx.dev/Document"
	vulnPredicate = "https://cosign.sigstore.dev/attestation/vuln/v1"
)

// judged has a policy decide about what was collected, when nothing is waited
// for any more.
func judged(t *testing.T, signed gatekeeper.Signed, rules string, ci signer) policy.Result {
	t.Helper()
	parsed, err := policyfile.Parse("test.yaml", []byte(`apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: test}
spec:
  from: staging
  match: {repositories: ["**"]}
  wait: 1h
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`+rules), func(string) ([]byte, error) { return ci.authority.PublicKey, nil })
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	return policy.Evaluate(parsed[0].Compiled, &policy.Evidence{
		Subject: policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, Push: policy.Push{Tag: "v1", ReceivedAt: received},
		Image:      policy.Image{Platforms: []policy.Platform{{Name: "linux/amd64", OS: "linux", Architecture: "amd64"}}},
		Signatures: signed.Signatures, Attestations: signed.Attestations,
	}, received.Add(2*time.Hour))
}

// reasons are those of the findings that refuse.
func reasons(r policy.Result) map[policy.Check]policy.Reason {
	all := map[policy.Check]policy.Reason{}
	for _, f := range r.Findings {
		if f.Outcome == policy.OutcomeFail {
			all[f.Check] = f.Reason
		}
	}
	return all
}

// An attestation of another type than the one that is asked for, with an
// annotation that says it is of that type.
func TestAttack_CVE_2022_35929(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	const rules = `  signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]
  attestations: [{name: scan, predicateType: "` + vulnPredicate + `", signedBy: [ci]}]
`
	mislabelled := func(l layer) layer {
		l.annotations = map[string]string{"predicateType": vulnPredicate, "dev.sigstore.bundle.predicateType": vulnPredicate}
		return l
	}
	s := newStore()
	s.putTag(sigTag, ci.simple(subject))
	s.putTag(attTag, mislabelled(ci.envelope(statement(subject, sbomPredicate, "{}"))))
	s.putReferrer(mislabelled(ci.bundle(statement(subject, sbomPredicate, "{}"))))
	s.putReferrer(mislabelled(ci.bundle(statement(subject, signPredicate, "{}"))))
	got, err := collect(t, s, ci)
	if err != nil {
		t.Fatal(err)
	}
	r := judged(t, got, rules, ci)
	if why := reasons(r); r.Verdict != policy.VerdictRejected || why[policy.CheckAttestations] != policy.ReasonAbsent || len(why) != 1 {
		t.Errorf("%s: %+v", r.Verdict, r.Findings)
	}
	s.putReferrer(ci.bundle(statement(subject, vulnPredicate, "{}")))
	if got, err = collect(t, s, ci); err != nil {
		t.Fatal(err)
	}
	if r := judged(t, got, rules, ci); r.Verdict != policy.VerdictPromoted {
		t.Errorf("with the right one: %s: %+v", r.Verdict, r.Findings)
	}
}

// Anybody's signature counts as long as there is one.
func TestAttack_HARBOR_18808(t *testing.T) {
	t.Parallel()
	ci, mallory := newSigner(t, "ECDSA P-256"), newSigner(t, "ECDSA P-256")
	const key = "  signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\n"
	s := newStore()
	s.putTag(sigTag, mallory.simple(subject), mallory.simple(subject))
	s.putReferrer(mallory.bundle(statement(subject, signPredicate, "{}")))
	got, err := collect(t, s, ci)
	if err != nil {
		t.Fatal(err)
	}
	r := judged(t, got, key, ci)
	if r.Verdict != policy.VerdictRejected || reasons(r)[policy.CheckSignatures] != policy.ReasonWrongSigner {
		t.Errorf("a stranger's key: %s: %+v", r.Verdict, r.Findings)
	}
	// Mallory's key is known to another rule, which does not make it ci's.
	both, err := collect(t, s, ci, mallory)
	if err != nil {
		t.Fatal(err)
	}
	if r := judged(t, both, key, ci); r.Verdict != policy.VerdictRejected {
		t.Errorf("another rule's key: %s: %+v", r.Verdict, r.Findings)
	}
	const keyless = `  signatures: [{name: ci, anyOf: [{keyless: {issuer: "https://token.example", identity: "https://ci.example/acme/*"}}]}]` + "\n"
	for who, id := range map[string]policy.Identity{
		"another subject":    {TrustRoot: policy.DefaultTrustRoot, Issuer: "https://token.example", Subject: "https://ci.example/mallory/app"},
		"a longer subject":   {TrustRoot: policy.DefaultTrustRoot, Issuer: "https://token.example", Subject: "https://evil.example/https://ci.example/acme/app"},
		"another issuer":     {TrustRoot: policy.DefaultTrustRoot, Issuer: "https://token.example.evil", Subject: "https://ci.example/acme/app"},
		"another trust root": {TrustRoot: "mallory", Issuer: "https://token.example", Subject: "https://ci.example/acme/app"},
	} {
		found := gatekeeper.Signed{Signatures: []policy.Signature{{Form: "bundle", Result: policy.Verified, Identities: []policy.Identity{id}}}}
		r := judged(t, found, keyless, ci)
		if r.Verdict != policy.VerdictRejected || reasons(r)[policy.CheckSignatures] != policy.ReasonWrongSigner {
			t.Errorf("%s: %s: %+v", who, r.Verdict, r.Findings)
		}
	}
}

// counting is a store that counts what is read.
type counting struct {
	*store

	manifests, blobs atomic.Int64
}

func (c *counting) Manifest(ctx context.Context, r registry.Repository, digest string) (registry.Content, error) {
	c.manifests.Add(1)
	return c.store.Manifest(ctx, r, digest)
}

func (c *counting) Blob(ctx context.Context, r registry.Repository, d gatekeeper.Descriptor, limit int64) ([]byte, error) {
	c.blobs.Add(1)
	return c.store.Blob(ctx, r, d, limit)
}

// A hundred thousand signatures under a tag, and as many referrers.
func TestAttack_CVE_2023_46737(t *testing.T) {
	ci, mallory := newSigner(t, "ECDSA P-256"), newSigner(t, "ECDSA P-256")
	one := mallory.simple(subject)
	many := make([]layer, 100_000)
	for i := range many {
		many[i] = one
	}
	tagged, attested, referred := newStore(), newStore(), newStore()
	tagged.putTag(sigTag, append([]layer{ci.simple(subject)}, many...)...)
	one = mallory.envelope(statement(subject, sbomPredicate, "{}"))
	for i := range many {
		many[i] = one
	}
	attested.putTag(attTag, many...)
	referred.putTag(sigTag, ci.simple(subject))
	for i := range 100_000 {
		digest := digestOf([]byte(strconv.Itoa(i)))
		referred.referrers = append(referred.referrers, registry.Referrer{Descriptor: gatekeeper.Descriptor{Digest: digest}})
	}
	wide := newStore()
	wide.putTag(sigTag, ci.simple(subject))
	wide.putReferrer(many...)
	for name, s := range map[string]*store{"signatures": tagged, "attestations": attested, "referrers": referred, "layers of a referrer": wide} {
		t.Run(name, func(t *testing.T) {
			counted := &counting{store: s}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got, err := collector(counted).CollectSigned(t.Context(), policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, []policy.Authority{ci.authority})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), "at most 100 are judged") {
				t.Errorf("got %v", err)
			}
			if counted.blobs.Load() > 101 || counted.manifests.Load() > 110 || took > 10*time.Second {
				t.Errorf("%d blobs and %d manifests read in %s", counted.blobs.Load(), counted.manifests.Load(), took)
			}
			memory := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%s, %d MiB allocated in all, %d blobs read", took, memory, counted.blobs.Load())
			if memory > 256 {
				t.Errorf("%d MiB allocated", memory)
			}
			if name == "attestations" {
				return
			}
			found := 0
			for _, sig := range got.Signatures {
				if sig.Result == policy.Verified {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%d good signatures were found, want the one before the limit", found)
			}
		})
	}
}

// hostile is a registry that serves what a test wants, and counts the bytes
// that it could send.
type hostile struct {
	*httptest.Server

	sent, asked atomic.Int64
	serve       map[string]http.HandlerFunc // by the end of the path
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{serve: map[string]http.HandlerFunc{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		for end, serve := range h.serve {
			if strings.HasSuffix(r.URL.Path, end) {
				h.asked.Add(1)
				serve(w, r)
				return
			}
		}
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
	}))
	t.Cleanup(h.Close)
	return h
}

// endless sends zeros until nobody listens.
func (h *hostile) endless(w http.ResponseWriter, _ *http.Request) {
	chunk := make([]byte, 1<<20)
	for range 1024 {
		n, err := w.Write(chunk)
		h.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

func (h *hostile) manifest(end string, body []byte) {
	h.serve[end] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = w.Write(body)
	}
}

func (h *hostile) client(t *testing.T) *registry.Registries {
	t.Helper()
	u, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.New([]registry.Settings{{Name: "staging", URL: u}}, registry.Deps{Observer: unobserved{}, UserAgent: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type unobserved struct{}

func (unobserved) RegistryRequest(string, int)     {}
func (unobserved) BlobBytes(string, string, int64) {}

func manifestOf(mediaType, digest string, size int64) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`, mediaType, digest, size)
}

// Evidence that is larger than it says, larger than anybody needs, or grows
// when it is read.
func TestAttack_CVE_2024_29902(t *testing.T) {
	ci := newSigner(t, "ECDSA P-256")
	zeros := make([]byte, 1000)
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	for range 512 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		size  int64
		blob  func(h *hostile) http.HandlerFunc
		data  []byte // that the digest is of
		asked bool
	}{
		"10 GiB declared": {10 << 30, func(h *hostile) http.HandlerFunc { return h.endless }, zeros, false},
		"a negative size": {-1, func(h *hostile) http.HandlerFunc { return h.endless }, zeros, false},
		"endless":         {1000, func(h *hostile) http.HandlerFunc { return h.endless }, zeros, true},
		"a length of 10 GiB": {1000, func(h *hostile) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.FormatInt(10<<30, 10))
				h.endless(w, r)
			}
		}, zeros, true},
		"less than it says": {1000, func(*hostile) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(zeros[:10]) }
		}, zeros, true},
		"a compressed 512 MiB": {int64(bomb.Len()), func(*hostile) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bomb.Bytes()) }
		}, bomb.Bytes(), true},
		"compressed on the way": {1000, func(*hostile) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(bomb.Bytes())
			}
		}, zeros, true},
	} {
		for _, mediaType := range []string{"application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dsse.envelope.v1+json"} {
			t.Run(name+"/"+mediaType, func(t *testing.T) {
				h := newHostile(t)
				digest := digestOf(tt.data)
				tag := sigTag
				if strings.Contains(mediaType, "dsse") {
					tag = attTag
				}
				h.manifest("/manifests/"+tag, manifestOf(mediaType, digest, tt.size))
				h.serve["/blobs/"+digest] = tt.blob(h)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got, err := collector(h.client(t)).CollectSigned(ctx, policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, []policy.Authority{ci.authority})
				runtime.ReadMemStats(&after)
				if memory := (after.TotalAlloc - before.TotalAlloc) >> 20; memory > 64 {
					t.Errorf("%d MiB allocated", memory)
				}
				if sent := h.sent.Load(); sent > 32<<20 {
					t.Errorf("%d bytes were read", sent)
				}
				if asked := h.asked.Load() > 1; asked != tt.asked {
					t.Errorf("the content was asked for: %v", asked)
				}
				for _, result := range results(got) {
					if result != policy.Malformed {
						t.Errorf("%s", result)
					}
				}
				if err == nil && len(results(got)) != 1 {
					t.Errorf("neither an error nor a result: %+v", got)
				}
			})
		}
	}
}

func results(s gatekeeper.Signed) []policy.Verification {
	var all []policy.Verification
	for _, sig := range s.Signatures {
		all = append(all, sig.Result)
	}
	for _, a := range s.Attestations {
		all = append(all, a.Result)
	}
	return all
}

// The registry answers with another, well signed image's manifest or evidence
// than the one that was asked for.
func TestAttack_CVE_2022_47633(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	good, att, bundle := ci.simple(other), ci.envelope(statement(other, testPredicate, "{}")), ci.bundle(statement(other, signPredicate, "{}"))
	h := newHostile(t)
	refers := func(digest string, l layer) []byte {
		body, err := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
			"subject": map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1},
			"layers":  []any{map[string]any{"mediaType": l.mediaType, "digest": digestOf(l.data), "size": len(l.data), "annotations": l.annotations}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, l := range []layer{good, att, bundle} {
		h.serve["/blobs/"+digestOf(l.data)] = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(l.data) }
	}
	// The evidence of the other image under this one's names.
	h.manifest("/manifests/"+sigTag, refers(other, good))
	h.manifest("/manifests/"+attTag, refers(other, att))
	honest, lie := refers(subject, bundle), refers(other, bundle)
	forged := digestOf([]byte("what the list says"))
	h.manifest("/manifests/"+digestOf(honest), honest)
	h.manifest("/manifests/"+digestOf(lie), lie)
	h.manifest("/manifests/"+forged, honest)
	h.serve["/referrers/"+subject] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		var list []string
		for _, digest := range []string{digestOf(honest), digestOf(lie), forged} {
			list = append(list, `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+digest+`","size":1}`)
		}
		_, _ = io.WriteString(w, `{"schemaVersion":2,"manifests":[`+strings.Join(list, ",")+`]}`)
	}
	got, err := collector(h.client(t)).CollectSigned(t.Context(), policy.Subject{Registry: "staging", Repository: "a", Digest: subject}, []policy.Authority{ci.authority})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results(got) {
		if result != policy.Invalid && result != policy.Malformed {
			t.Errorf("%s: %+v", result, got)
		}
	}
	if n := len(results(got)); n != 4 { // that which refers to the other image is none of ours
		t.Errorf("%d results, want 4: %+v", n, got)
	}
	if r := judged(t, got, "  signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\n", ci); r.Verdict != policy.VerdictRejected {
		t.Errorf("%s: %+v", r.Verdict, r.Findings)
	}
}

// Manifests and signatures that are made to break their reader. Each is a
// result, and what is good beside it is found.
func TestAttack_CVE_2023_42813(t *testing.T) {
	t.Parallel()
	ci := newSigner(t, "ECDSA P-256")
	for name, body := range map[string]string{
		"nothing":                 "",
		"no JSON":                 "\x00\xff",
		"null":                    "null",
		"a list":                  "[]",
		"nested":                  strings.Repeat(`{"layers":`, 100_000),
		"layers of a kind":        `{"layers":{"a":1}}`,
		"a layer of null":         `{"layers":[null]}`,
		"a layer without a type":  `{"layers":[{}]}`,
		"no digest":               `{"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"","size":1}]}`,
		"a digest of a path":      `{"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"sha256:../../x","size":1}]}`,
		"a size of text":          `{"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"` + subject + `","size":"1"}]}`,
		"a size beyond":           `{"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"` + subject + `","size":9223372036854775807}]}`,
		"annotations of a kind":   `{"layers":[{"mediaType":"application/vnd.dsse.envelope.v1+json","digest":"` + subject + `","size":1,"annotations":[1]}]}`,
		"a type with an escape":   `{"layers":[{"mediaType":"\u001b[2J","digest":"` + subject + `","size":1}]}`,
		"foreign":                 `{"layers":[{"mediaType":"application/vnd.dsse.envelope.v1+json","digest":"` + subject + `","size":1,"urls":["http://169.254.169.254/"]}]}`,
		"a subject of a kind":     `{"subject":[],"layers":[]}`,
		"layers that is a number": `{"layers":1e999}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore()
			digest := digestOf([]byte(body))
			s.manifests[digest] = []byte(body)
			s.tags[sigTag], s.tags[attTag] = digest, digest
			s.referrers = []registry.Referrer{{Descriptor: gatekeeper.Descriptor{Digest: digest}}}
			s.putReferrer(ci.bundle(statement(subject, signPredicate, "{}")))
			got, err := collect(t, s, ci)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, sig := range got.Signatures {
				found = found || sig.Result == policy.Verified
				if strings.ContainsRune(sig.Reason, '\x1b') {
					t.Errorf("%q", sig.Reason)
				}
			}
			if !found {
				t.Errorf("the good one was not found: %+v", got)
			}
		})
	}
}
