package policy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// attesters are the authorities that the document's examples name.
const attesters = `authorities:
  - {name: ci, anyOf: [{keyFile: a.pub}]}
  - {name: scanner, anyOf: [{keyFile: b.pub}]}
  - {name: gate, anyOf: [{keyFile: c.pub}]}
  - {name: security, anyOf: [{keyFile: d.pub}]}
`

// Every example of docs/attestations.md takes the predicates that it says it
// takes, refuses those that it says it refuses, and takes neither from somebody
// else.
func TestTheDocumentedAttestations(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	document, err := os.ReadFile("../docs/attestations.md")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	blocks := strings.Split(string(document), "```yaml\n")[1:]
	for _, block := range blocks {
		block, after, _ := strings.Cut(block, "```\n")
		if strings.Contains(block, "authorities:") {
			f.compile(t, block)
			continue
		}
		c := f.compile(t, attesters+block)
		rule := c.Spec().Attestations[0]
		t.Run(rule.Name, func(t *testing.T) {
			for file, want := range predicates(t, rule.Name) {
				used[file] = true
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, key := range c.Authorities() {
					ev := (keys{}).good()
					ev.Attestations = []policy.Attestation{{
						Result: policy.Verified, VerifiedBy: []string{key.ID}, PredicateType: rule.PredicateType, Predicate: json.RawMessage(data),
					}}
					want := want
					if rule.SignedBy[0] != ownerOf(f, key) {
						want = policy.VerdictPending
					}
					if got := policy.Evaluate(c, ev, received()); got.Verdict != want {
						t.Errorf("%s by %s: %s, want %s: %+v", file, ownerOf(f, key), got.Verdict, want, got.Findings)
					}
				}
			}
			for _, kind := range []string{".good.json", ".bad.json"} {
				if !strings.Contains(after, "../policy/testdata/attestations/"+rule.Name+kind) {
					t.Errorf("the document does not show %s", rule.Name+kind)
				}
			}
		})
	}
	if all, err := filepath.Glob("testdata/attestations/*"); err != nil || len(all) != len(used) || len(all) < 50 {
		t.Errorf("%d of %d predicates were tried (%v)", len(used), len(all), err)
	}
}

// predicates lists the files of a rule, and what becomes of them.
func predicates(t *testing.T, rule string) map[string]policy.Verdict {
	t.Helper()
	all := map[string]policy.Verdict{"testdata/attestations/" + rule + ".good.json": policy.VerdictPromoted}
	bad, err := filepath.Glob("testdata/attestations/" + rule + ".bad*.json")
	if err != nil || len(bad) == 0 {
		t.Fatalf("no predicate of %s is refused: %v", rule, err)
	}
	for _, file := range bad {
		all[file] = policy.VerdictRejected
	}
	return all
}

// ownerOf names the authority whose key it is.
func ownerOf(f files, key policy.Authority) string {
	for file, name := range map[string]string{"a.pub": "ci", "b.pub": "scanner", "c.pub": "gate", "d.pub": "security"} {
		if string(f[file]) == string(key.PublicKey) {
			return name
		}
	}
	return ""
}

// The refusal that the document shows is the one that is made.
func TestTheDocumentedRefusal(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	document, err := os.ReadFile("../docs/attestations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(document), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	c := f.compile(t, block)
	refusal := policy.Evaluate(c, evidence(t, f, c, true, saying(github(nil), `{"result":"FAILED"}`)), received()).Findings[0]
	for _, line := range []string{
		"refused attestations tests: " + refusal.Found, "  expected: " + refusal.Expected, "  what to do: " + refusal.Remedy,
	} {
		if !strings.Contains(string(document), line+"\n") {
			t.Errorf("the document does not show:\n%s", line)
		}
	}
	lacking, err := os.ReadFile("testdata/attestations/cosign-vuln.bad3.json")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ = strings.Cut(string(document), "## Vulnerability reports of cosign")
	_, block, _ = strings.Cut(block, "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	c = f.compile(t, attesters+block)
	ev := (keys{}).good()
	ev.Attestations = []policy.Attestation{{
		Result: policy.Verified, VerifiedBy: []string{c.Authorities()[1].ID}, PredicateType: c.Spec().Attestations[0].PredicateType, Predicate: json.RawMessage(lacking),
	}}
	if found := policy.Evaluate(c, ev, received()).Findings[0].Found; !strings.Contains(string(document), found) {
		t.Errorf("the document does not show %q", found)
	}
}
