package gatekeeper_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

const (
	scanning = "  vulnerabilities: {deny: [{severity: critical}]}\n"
	takes    = "  sbom: {predicateTypes: [https://cyclonedx.org/bom], signedBy: [ci]}\n"
)

// also is the policy with more rules, under another name when one is given.
func also(rules, name string) string {
	text := strings.Replace(enforce, "  promote:", rules+"  promote:", 1)
	if name != "" {
		text = strings.NewReplacer("name: services", "name: "+name, `"{{ .Repository }}"`, `"`+name+`/{{ .Repository }}"`).Replace(text)
	}
	return text
}

// sbom is an attestation with an SBOM by the key that the policies name.
func (w *world) sbom(document string) policy.Attestation {
	return policy.Attestation{
		Manifest: digest("m"), Result: policy.Verified, VerifiedBy: []string{w.key.ID}, PredicateType: policy.PredicateCycloneDX,
		Predicate: json.RawMessage(document),
	}
}

func TestWhatIsCatalogued(t *testing.T) {
	t.Parallel()
	const a, b = `{"a":1}`, `{"b":2}`
	layers := []string{"layers " + digest("a")}
	for _, tt := range []struct {
		name     string
		policies []string
		arrange  func(w *world)
		want     []string
	}{
		{"the SBOM of the signer", []string{also(scanning+takes, "")}, func(w *world) { w.claims = append(w.claims, w.sbom(a)) }, []string{"sbom " + a}},
		{"no SBOM", []string{also(scanning+takes, "")}, func(*world) {}, layers},
		{"an SBOM that no policy asks for", []string{also(scanning, "")}, func(w *world) { w.claims = append(w.claims, w.sbom(a)) }, layers},
		{"no scan asked for", []string{enforce}, func(w *world) { w.claims = append(w.claims, w.sbom(a)) }, nil},
		{"a stranger's SBOM", []string{also(scanning+takes, "")}, func(w *world) {
			stranger := w.sbom(a)
			stranger.Result, stranger.VerifiedBy = policy.UnknownSigner, nil
			w.claims = append(w.claims, stranger)
		}, layers},
		{"a stranger's SBOM beside the signer's", []string{also(scanning+takes, "")}, func(w *world) {
			stranger := w.sbom(b)
			stranger.VerifiedBy = []string{"sha256:other"}
			w.claims = append(w.claims, stranger, w.sbom(a))
		}, []string{"sbom " + a}},
		{"two that disagree", []string{also(scanning+takes, "")}, func(w *world) { w.claims = append(w.claims, w.sbom(a), w.sbom(b)) }, layers},
		{"the same one twice", []string{also(scanning+takes, "")}, func(w *world) { w.claims = append(w.claims, w.sbom(a), w.sbom(`{ "a": 1 }`)) }, []string{"sbom " + a}},
		{"another type", []string{also(scanning+takes, "")}, func(w *world) {
			other := w.sbom(a)
			other.PredicateType = policy.PredicateSPDX
			w.claims = append(w.claims, other)
		}, layers},
		{"a predicate that is no object", []string{also(scanning+takes, "")}, func(w *world) { w.claims = append(w.claims, w.sbom(`"SPDXVersion: SPDX-2.3"`)) }, layers},
		{"two policies that take it", []string{also(scanning+takes, ""), also(scanning+takes, "two")}, func(w *world) { w.claims = append(w.claims, w.sbom(a)) }, []string{"sbom " + a}},
		{"two policies, one of which does not take it", []string{also(scanning+takes, ""), also(scanning, "two")}, func(w *world) { w.claims = append(w.claims, w.sbom(a)) }, layers},
		{"a second policy that needs no scan", []string{also(scanning+takes, ""), also("", "two")}, func(w *world) { w.claims = append(w.claims, w.sbom(a)) }, []string{"sbom " + a}},
		{"the platforms of an index", []string{also(scanning+takes, "")}, func(w *world) {
			w.children = []string{digest("c"), digest("d")}
			w.claims = append(w.claims, w.sbom(a))
		}, []string{"layers " + digest("c"), "layers " + digest("d")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.policies...)
			w.sign("a")
			tt.arrange(w)
			progress := w.process(w.push("team-a/app", "v1", "a"))
			if progress.Verdict != policy.VerdictPromoted {
				t.Errorf("%+v: %+v", progress, w.last().Results)
			}
			if !slices.Equal(w.scanned, tt.want) {
				t.Errorf("scanned %q, want %q", w.scanned, tt.want)
			}
		})
	}
}

// The scan waits for the signatures only where an SBOM could stand in for it.
func TestWithoutSBOMsScanAndSignaturesAreConcurrent(t *testing.T) {
	t.Parallel()
	for _, policies := range [][]string{{also(scanning, "")}, {also(scanning+takes, ""), also(scanning, "two")}} {
		w := newWorld(t, policies...)
		w.sign("a")
		w.scanning = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		progress, err := w.gate().Process(ctx, w.push("team-a/app", "v1", "a"))
		cancel()
		if err != nil || progress.Verdict != policy.VerdictPromoted {
			t.Errorf("%+v, %v", progress, err)
		}
	}
}

// A second SBOM may hide behind what could not be read: then the layers count.
func TestWhenSignaturesCannotBeReadTheLayersAreCatalogued(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(scanning+takes, ""))
	w.claims = []policy.Attestation{w.sbom(`{"a":1}`)}
	w.fail["signatures"] = errOutage
	if progress := w.process(w.push("team-a/app", "v1", "a")); progress.Verdict != policy.VerdictError {
		t.Errorf("%+v", progress)
	}
	if want := []string{"layers " + digest("a")}; !slices.Equal(w.scanned, want) {
		t.Errorf("scanned %q, want %q", w.scanned, want)
	}
}

// An SBOM in which not everything can be looked up leaves the verdict open.
func TestAnUnusableSBOMIsNoVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(scanning+takes, ""))
	w.sign("a")
	w.claims = []policy.Attestation{w.sbom(`{"a":1}`)}
	w.fail["sbom"] = errOutage
	p := w.push("team-a/app", "v1", "a")
	if progress := w.process(p); progress.Verdict != policy.VerdictError {
		t.Errorf("%+v", progress)
	}
	w.wantGolden(nil)
	w.claims = nil // the developer takes it back
	if progress := w.process(p); progress.Verdict != policy.VerdictPromoted {
		t.Errorf("afterwards: %+v", progress)
	}
}

// The evidence names the SBOM, and a policy that does not take it cannot judge
// by it.
func TestTheEvidenceSaysWhatStoodIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, also(scanning+takes, ""), also(scanning, "two"))
	both := w.policies
	w.policies = both[:1]
	w.sign("a")
	w.claims = []policy.Attestation{w.sbom(`{"a":"<1>"}`)}
	w.process(w.push("team-a/app", "v1", "a"))
	text, err := json.Marshal(w.last().Evidence)
	if err != nil {
		t.Fatal(err)
	}
	var recorded policy.Evidence
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	if c := recorded.Image.Platforms[0].Scan.Catalogue; c.From != policy.CatalogueSBOM || c.Attestation != digest("m") || c.Document == "" {
		t.Errorf("%+v", c)
	}
	if again := policy.Evaluate(w.policies[0], &recorded, w.now); again.Verdict != policy.VerdictPromoted {
		t.Errorf("what was recorded is judged otherwise: %+v", again)
	}
	if again := policy.Evaluate(both[1], &recorded, w.now); again.Verdict != policy.VerdictError {
		t.Errorf("a policy without sbom judges by it: %+v", again)
	}
}
