package gatekeeper_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const based = "  patchLevel: {base: {repositories: [\"golden/base/**\"], maxBehind: 0}}\n"

func (w *world) FindBases(_ context.Context, _ policy.Image, p policy.Platform) (policy.Lineage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lineages[p.Digest], w.fail["bases"]
}

// on is the lineage of an image on a base.
func on(proof policy.Proof, behind int) policy.Lineage {
	return policy.Lineage{Bases: []policy.Base{{
		Registry: "golden", Repository: "base/debian", Digest: digest("x"), Manifest: digest("x"), Layers: 1, Proof: proof, Behind: behind,
	}}}
}

func TestBasesAreLookedFor(t *testing.T) {
	t.Parallel()
	layers := []string{"layers " + digest("a")}
	for _, tt := range []struct {
		name    string
		policy  string
		lineage policy.Lineage
		arrange func(w *world)
		want    policy.Verdict
		scanned []string
		says    string
	}{
		{"on the newest release", also(based, ""), on(policy.ProofDigests, 0), nil, policy.VerdictPromoted, nil, ""},
		{"on an older one", also(based, ""), on(policy.ProofDigests, 1), nil, policy.VerdictRejected, nil, "1 release behind"},
		{"on none", also(based, ""), policy.Lineage{}, nil, policy.VerdictRejected, nil, "do not begin"},
		{"by diff_ids the layers are unpacked", also(based, ""), on(policy.ProofDiffIDs, 0), nil, policy.VerdictPromoted, layers, ""},
		{"by diff_ids that are not those of the layers", also(based, ""), on(policy.ProofDiffIDs, 0), func(w *world) { w.fail["scan"] = errOutage }, policy.VerdictError, layers, "unpacked"},
		{"by diff_ids no SBOM stands in", also(based+scanning+takes, ""), on(policy.ProofDiffIDs, 0), func(w *world) { w.claims = append(w.claims, w.sbom("{}")) }, policy.VerdictPromoted, layers, ""},
		{"by digests an SBOM stands in", also(based+scanning+takes, ""), on(policy.ProofDigests, 0), func(w *world) { w.claims = append(w.claims, w.sbom("{}")) }, policy.VerdictPromoted, []string{"sbom {}"}, ""},
		{"the record does not answer", also(based, ""), on(policy.ProofDigests, 0), func(w *world) { w.fail["bases"] = errOutage }, policy.VerdictError, nil, "503"},
		{"nobody asks for a base", enforce, on(policy.ProofDiffIDs, 9), func(w *world) { w.fail["bases"] = errOutage }, policy.VerdictPromoted, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.policy)
			w.sign("a")
			w.lineages = map[string]policy.Lineage{digest("a"): tt.lineage}
			if tt.arrange != nil {
				tt.arrange(w)
			}
			p := w.push("team-a/app", "v1", "a")
			p.Attempt = 9 // errors show
			progress := w.process(p)
			last := w.last()
			if progress.Verdict != tt.want || !strings.Contains(last.FirstReason(), tt.says) || !slices.Equal(w.scanned, tt.scanned) {
				t.Errorf("%+v, scanned %q; want %s, %q and %q: %+v", progress, w.scanned, tt.want, tt.scanned, tt.says, last.Results)
			}
		})
	}
}

// One platform of an index that is repacked is unpacked, and the others are
// not.
func TestOnlyWhatIsInDoubtIsUnpacked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(based, ""))
	w.sign("a")
	w.children = []string{digest("c"), digest("d")}
	w.lineages = map[string]policy.Lineage{digest("c"): on(policy.ProofDigests, 0), digest("d"): on(policy.ProofDiffIDs, 0)}
	if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("%+v: %+v", progress, w.last().Results)
	}
	if want := []string{"layers " + digest("d")}; !slices.Equal(w.scanned, want) {
		t.Errorf("scanned %q, want %q", w.scanned, want)
	}
}

// A gate without a record of golden images cannot say what is built on them.
func TestWithoutARecordThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(based, ""))
	w.sign("a")
	g := w.gate()
	g.Bases = nil
	w.push("team-a/app", "v1", "a")
	d, err := g.Check(t.Context(), "staging", "team-a/app", "v1", "")
	if err != nil || d.Verdict != policy.VerdictError || !strings.Contains(d.FirstReason(), "not on record") {
		t.Errorf("%s %q, %v", d.Verdict, d.FirstReason(), err)
	}
	var _ gatekeeper.BaseFinder = w
}
