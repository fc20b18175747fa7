package gatekeeper_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// world is everything around a gate, in memory: a staging registry, a golden
// one and the books.
type world struct {
	noticed []string // repository:tag@digest
	turns   []string // keys
	layer   int64    // the size of each image's layer, in bytes

	t  *testing.T
	mu sync.Mutex

	now      time.Time
	policies []*policy.Compiled
	asked    int // how often the policies were asked for
	key      policy.Authority
	roots    map[string]string // trust roots, by name; absent: cannot be read

	tags   map[string]string // staging: repository:tag to digest
	golden map[string]string // repository:tag to digest
	copied map[string]bool   // repository@digest in golden
	signed map[string]bool   // digests with a signature

	pushes    []gatekeeper.Push
	decisions []gatekeeper.Decision
	history   []gatekeeper.GoldenReference
	woken     []string
	told      []gatekeeper.Decision // what the observer heard
	attested  map[string]time.Time  // golden repository:tag@digest that was said to be approved, and when it was decided

	// fail makes the named port fail.
	fail map[string]error
	hang bool // signing takes for ever
	// beforeTag runs before a golden tag is written.
	beforeTag func()
	subject   string // what untagged manifests refer to
	problem   *policy.Problem

	claims   []policy.Attestation            // about every image
	apart    map[string][]policy.Attestation // about a platform of an index, by its digest
	watched  []string                        // "PLATFORM of INDEX"
	looked   []string                        // platforms whose attestations were asked for
	children []string                        // digests of an index's platforms; none: a single image
	scanned  []string                        // "layers DIGEST" and "sbom DOCUMENT", in order
	lineages map[string]policy.Lineage       // by the digest of a platform
	scanning chan struct{}                   // when there is one, signatures are found only after a scan closed it
}

const enforce = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: services}
spec:
  from: staging
  match: {repositories: ["team-*/**"]}
  wait: 1h
  signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]
  promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"], immutable: true}
`

func newWorld(t *testing.T, policies ...string) *world {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	w := &world{
		t: t, now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), tags: map[string]string{}, golden: map[string]string{}, copied: map[string]bool{},
		signed: map[string]bool{}, fail: map[string]error{}, attested: map[string]time.Time{}, roots: map[string]string{}, apart: map[string][]policy.Attestation{},
	}
	if w.key, err = policy.NewAuthority(text); err != nil {
		t.Fatal(err)
	}
	if len(policies) == 0 {
		policies = []string{enforce}
	}
	w.apply(policies...)
	return w
}

// apply puts policies in force, instead of those before.
func (w *world) apply(policies ...string) {
	w.t.Helper()
	w.policies = nil
	for _, p := range policies {
		if p == "" {
			continue
		}
		parsed, err := policyfile.Parse("test.yaml", []byte(p), func(string) ([]byte, error) { return w.key.PublicKey, nil })
		if err != nil {
			w.t.Fatal(err)
		}
		w.policies = append(w.policies, parsed[0].Compiled)
	}
}

func (w *world) gate() *gatekeeper.Gate {
	return gatekeeper.New(gatekeeper.Deps{
		Policies: func() *policy.Set { w.asked++; return policy.NewSet(w.policies) }, TrustRoots: w, Ledger: w, History: w, Waker: w, Resolver: w, Subjects: w, Images: w,
		Signatures: w, Scanner: w, Promoter: w, Attester: w, Bases: w, Observer: w, Turns: w,
		Now: func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }, Log: slog.New(slog.DiscardHandler),
	})
}

func digest(name string) string {
	return "sha256:" + strings.Repeat(fmt.Sprintf("%x", name[0]), 32)
}

// push puts an image into staging.
func (w *world) push(repository, tag, image string) gatekeeper.Push {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tags[repository+":"+tag] = digest(image)
	p := gatekeeper.Push{
		ID: int64(len(w.pushes) + 1), Source: "staging", Repository: repository, Tag: tag, Digest: digest(image), ReceivedAt: w.now,
	}
	w.pushes = append(w.pushes, p)
	return p
}

func (w *world) sign(image string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.signed[digest(image)] = true
}

func (w *world) process(p gatekeeper.Push) gatekeeper.Progress {
	w.t.Helper()
	progress, err := w.gate().Process(w.t.Context(), p)
	if err != nil {
		w.t.Fatalf("process %s:%s: %v", p.Repository, p.Tag, err)
	}
	return progress
}

// last is the newest decision.
func (w *world) last() gatekeeper.Decision {
	w.t.Helper()
	if len(w.decisions) == 0 {
		w.t.Fatal("no decision was recorded")
	}
	return w.decisions[len(w.decisions)-1]
}

// The ports.

func (w *world) Overtaken(_ context.Context, p gatekeeper.Push) (gatekeeper.Push, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range slices.Backward(w.pushes) {
		if q.ID > p.ID && q.Repository == p.Repository && q.Tag == p.Tag && q.Digest != p.Digest {
			return q, true, w.fail["overtaken"]
		}
	}
	return gatekeeper.Push{}, false, w.fail["overtaken"]
}

func (w *world) RecordDecision(_ context.Context, d gatekeeper.Decision) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail["record"]; err != nil {
		return 0, err
	}
	d.ID = int64(len(w.decisions) + 1)
	w.decisions = append(w.decisions, d)
	return d.ID, nil
}

func (w *world) RecordGolden(_ context.Context, id int64, refs []gatekeeper.GoldenReference) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail["golden"]; err != nil {
		return err
	}
	for _, r := range refs {
		same := func(g gatekeeper.GoldenReference) bool {
			return g.Registry == r.Registry && g.Repository == r.Repository && g.Tag == r.Tag
		}
		if !slices.ContainsFunc(w.decisions[id-1].Golden, same) {
			w.decisions[id-1].Golden = append(w.decisions[id-1].Golden, r)
			w.history = append(w.history, r)
		}
	}
	return nil
}

func (w *world) LastDecision(_ context.Context, push int64) (gatekeeper.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range slices.Backward(w.decisions) {
		if d.Push.ID == push {
			return d, nil
		}
	}
	return gatekeeper.Decision{}, gatekeeper.ErrNotFound
}

func (w *world) Golden(_ context.Context, registry, repository, tag string) (gatekeeper.GoldenReference, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range slices.Backward(w.history) {
		if g.Registry == registry && g.Repository == repository && g.Tag == tag {
			return g, true, nil
		}
	}
	return gatekeeper.GoldenReference{}, false, nil
}

func (w *world) Decision(_ context.Context, id int64) (gatekeeper.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decisions[id-1], w.fail["decision"]
}

func (w *world) SetDigest(context.Context, int64, gatekeeper.Descriptor) error {
	return w.fail["digest"]
}

func (w *world) Wake(_ context.Context, _, _, digest string) (int, error) {
	w.woken = append(w.woken, digest)
	return 1, w.fail["wake"]
}

func (w *world) Watch(_ context.Context, s policy.Subject, platforms []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range platforms {
		w.watched = append(w.watched, p+" of "+s.Digest)
	}
	return w.fail["watch"]
}

func (w *world) Notice(_ context.Context, p gatekeeper.Push, now gatekeeper.Descriptor) error {
	w.noticed = append(w.noticed, p.Repository+":"+p.Tag+"@"+now.Digest)
	return nil
}

func (w *world) Turn(_ context.Context, key string) (func(), error) {
	note := func(turn string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.turns = append(w.turns, turn)
	}
	note(key)
	return func() { note("end of " + key) }, w.fail["turn"]
}

func (w *world) Resolve(_ context.Context, registry, repository, tag string) (gatekeeper.Descriptor, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail["resolve"]; err != nil {
		return gatekeeper.Descriptor{}, err
	}
	tags := w.tags
	if registry == "golden" {
		tags = w.golden
	}
	d, ok := tags[repository+":"+tag]
	if !ok {
		return gatekeeper.Descriptor{}, fmt.Errorf("resolve: %w", gatekeeper.ErrNotFound)
	}
	return gatekeeper.Descriptor{Digest: d}, nil
}

func (w *world) SubjectOf(context.Context, string, string, string) (string, error) {
	return w.subject, w.fail["subject"]
}

func (w *world) ReadImage(_ context.Context, s policy.Subject) (policy.Image, error) {
	var image policy.Image
	digests := w.children
	if len(digests) == 0 {
		digests = []string{s.Digest}
	}
	for i, d := range digests {
		architecture := []string{"amd64", "arm64"}[i]
		image.Platforms = append(image.Platforms, policy.Platform{
			Name: "linux/" + architecture, OS: "linux", Architecture: architecture, Digest: d, Layers: []policy.Layer{{Size: w.layer}},
		})
	}
	return image, w.fail["image"]
}

func (w *world) Fingerprint(_ context.Context, name string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fingerprint, ok := w.roots[name]; ok {
		return fingerprint, nil
	}
	return "", errOutage
}

func (w *world) CollectSigned(ctx context.Context, s policy.Subject, authorities []policy.Authority) (gatekeeper.Signed, error) {
	if w.scanning != nil {
		select {
		case <-w.scanning:
		case <-ctx.Done():
			return gatekeeper.Signed{}, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(authorities) != 1 || authorities[0].ID != w.key.ID {
		return gatekeeper.Signed{}, fmt.Errorf("asked about %d authorities", len(authorities))
	}
	found := gatekeeper.Signed{Attestations: w.claims}
	if err := w.fail["signatures"]; err != nil || !w.signed[s.Digest] {
		return found, err
	}
	found.Signatures = []policy.Signature{{Result: policy.Verified, VerifiedBy: []string{w.key.ID}}}
	return found, nil
}

func (w *world) CollectAttestations(_ context.Context, s policy.Subject, _ []policy.Authority) ([]policy.Attestation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked == 0 || len(w.children) > 0 && !slices.Contains(w.children, s.Digest) {
		w.t.Errorf("asked what is attested about %s", s.Digest)
	}
	w.looked = append(w.looked, s.Digest)
	return w.apart[s.Digest], w.fail["attestations of "+s.Digest]
}

func (w *world) Scan(_ context.Context, _ policy.Subject, p policy.Platform) (*policy.Scan, *policy.Problem, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scanned = append(w.scanned, "layers "+p.Digest)
	if w.scanning != nil {
		close(w.scanning)
	}
	return w.found(policy.Catalogue{From: policy.CatalogueLayers}), w.problem, w.fail["scan"]
}

func (w *world) ScanSBOM(_ context.Context, s policy.SBOM) (*policy.Scan, *policy.Problem, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scanned = append(w.scanned, "sbom "+string(s.Document))
	if err := w.fail["sbom"]; err != nil {
		return nil, nil, err
	}
	return w.found(policy.Catalogue{From: policy.CatalogueSBOM, Attestation: s.Attestation, Document: s.Digest}), w.problem, nil
}

// found is a scan without vulnerabilities, unless there was a problem.
func (w *world) found(from policy.Catalogue) *policy.Scan {
	s := &policy.Scan{Catalogue: from}
	if w.problem == nil {
		s.Database = &policy.Database{Built: w.now}
	}
	return s
}

func (w *world) Copy(_ context.Context, s policy.Subject, to policy.Promotion) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := cmp.Or(w.fail["copy"], w.fail["copy to "+to.Repository]); err != nil {
		return err
	}
	if err := w.free(s, to); err != nil {
		return err
	}
	w.copied[to.Repository+"@"+s.Digest] = true
	return nil
}

func (w *world) Free(_ context.Context, s policy.Subject, to policy.Promotion) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.fail["free"], w.free(s, to))
}

func (w *world) free(s policy.Subject, to policy.Promotion) error {
	for _, tag := range to.Tags {
		if have := w.golden[to.Repository+":"+tag]; to.Immutable && have != "" && have != s.Digest {
			return &gatekeeper.ConflictError{Reference: to.Repository + ":" + tag, Have: have, Want: s.Digest}
		}
	}
	return nil
}

func (w *world) Attest(ctx context.Context, d gatekeeper.Decision, r policy.Result) error {
	if w.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail["attest"]; err != nil {
		return err
	}
	if !w.copied[r.Promotion.Repository+"@"+d.Push.Digest] || d.ID == 0 || d.Evidence == nil {
		w.t.Errorf("%s was attested before it was copied, without a record or without evidence", d.Push.Digest)
	}
	for _, tag := range slices.Concat(r.Promotion.Tags, r.Promotion.Channels) {
		name := r.Promotion.Repository + ":" + tag + "@" + d.Push.Digest
		if at, again := w.attested[name]; again && !at.Equal(d.DecidedAt) {
			w.t.Errorf("%s was attested as of %s and %s", name, at, d.DecidedAt)
		}
		w.attested[name] = d.DecidedAt
	}
	return nil
}

func (w *world) Tag(_ context.Context, s policy.Subject, to policy.Promotion, tag string) error {
	if w.beforeTag != nil {
		w.beforeTag()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail["tag"]; err != nil {
		return err
	}
	if !w.copied[to.Repository+"@"+s.Digest] {
		w.t.Errorf("%s was tagged before it was copied", s.Digest)
	}
	saidYes := func(d gatekeeper.Decision) bool {
		return d.Push.Digest == s.Digest && slices.ContainsFunc(d.Results, func(r policy.Result) bool { return r.Verdict == policy.VerdictPromoted })
	}
	if !slices.ContainsFunc(w.decisions, saidYes) {
		w.t.Errorf("%s was tagged without a recorded yes", s.Digest)
	}
	if _, ok := w.attested[to.Repository+":"+tag+"@"+s.Digest]; !ok {
		w.t.Errorf("the tag %s moved to %s before that was attested", tag, s.Digest)
	}
	w.golden[to.Repository+":"+tag] = s.Digest
	return nil
}

func (w *world) Stage(string, time.Duration) {}

func (w *world) Decided(_ context.Context, d gatekeeper.Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, d)
}

var errOutage = errors.New("the registry answers 503")
