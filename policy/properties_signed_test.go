package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// quorate is a policy with thresholds, whose authorities overlap.
func quorate(r *rand.Rand) string {
	group := func(entries ...string) string {
		shuffle(r, entries)
		return "[" + strings.Join(entries, ", ") + "]"
	}
	names := []string{"people", "keys"}
	shuffle(r, names)
	authorities := []string{
		"{name: people, threshold: 2, anyOf: " + group(anyAcme, ann, annOrBen) + "}",
		"{name: keys, threshold: 2, anyOf: " + group(keyA, loggedA, keyB) + "}",
	}
	shuffle(r, authorities)
	signatures := []string{
		"{name: either, signedBy: [" + strings.Join(names, ", ") + "]}",
		"{name: mixed, threshold: 2, anyOf: " + group(keyA, anyAcme, keyC) + "}",
		"{name: one, anyOf: " + group(keyA, ann, keyC) + "}",
	}
	shuffle(r, signatures)
	return "authorities: [" + strings.Join(authorities, ", ") + "]\nsignatures: [" + strings.Join(signatures, ", ") + "]\n" +
		`attestations: [{name: tests, predicateType: "` + testResult + `", signedBy: [` + strings.Join(names, ", ") + `], expression: 'predicate.m.map(k, k)[0] == "a"'}]`
}

// pool is what can be found about a subject.
func pool() []by {
	const yes, no = `{"m":{"a":1,"b":2,"c":3,"d":4,"e":5}}`, `{"m":{"b":2,"c":3,"d":4,"e":5}}`
	var all []by
	for _, signer := range []by{key("a"), key("a", "", "sigstore"), key("b"), key("c"), mail("ann@acme.example"), mail("ben@acme.example"), mail("cat@acme.example")} {
		all = append(all, saying(signer, yes), saying(signer, no))
	}
	return append(all, strange()...)
}

// strange is what somebody can add whom no policy names.
func strange() []by {
	return []by{
		fails(policy.UnknownSigner, "x"), fails(policy.Invalid, "y"), fails(policy.Invalid, "z"), fails(policy.Malformed, "w"),
		saying(mail("eve@evil.example"), `{"m":{"a":1}}`), saying(mail("ann@acme.example.evil.example"), `{"m":{"a":1}}`), saying(who(), `{"m":{"a":1}}`),
		who(policy.Identity{TrustRoot: "private", Issuer: "https://accounts.google.com", Subject: "ann@acme.example"}),
		who(policy.Identity{TrustRoot: "sigstore", Subject: "ann@acme.example"}),
	}
}

// enough is evidence that makes a yes.
func enough() []by {
	var all []by
	for _, signer := range []by{key("a"), key("b"), key("c"), mail("ann@acme.example"), mail("ben@acme.example")} {
		all = append(all, saying(signer, `{"m":{"a":1,"b":2,"c":3,"d":4,"e":5}}`))
	}
	return all
}

// some draws pieces of evidence, with some of them twice.
func some(t *rapid.T, from []by, label string) []by {
	var chosen []by
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(from)-1), 0, 8).Draw(t, label) {
		chosen = append(chosen, from[i])
	}
	return chosen
}

// both draws signatures and attestations.
func both(t *rapid.T) (signatures, attestations []by) {
	signatures, attestations = some(t, pool(), "signatures"), some(t, pool(), "attestations")
	switch rapid.IntRange(0, 3).Draw(t, "beside") {
	case 0:
		return append(signatures, enough()...), append(attestations, enough()...)
	case 1:
		return enough(), nil
	}
	return signatures, attestations
}

// found is evidence of some signatures and attestations.
func found(t *testing.T, f files, c *policy.Compiled, signatures, attestations []by) *policy.Evidence {
	t.Helper()
	ev := evidence(t, f, c, false, signatures...)
	ev.Attestations = evidence(t, f, c, true, attestations...).Attestations
	return ev
}

func TestRemovingEvidenceTurnsNoNoIntoAYes(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	c := f.compile(t, quorate(rand.New(rand.NewSource(1))))
	promoted := 0
	rapid.Check(t, func(rt *rapid.T) {
		signatures, attestations := both(rt)
		before := policy.Evaluate(c, found(t, f, c, signatures, attestations), received())
		if before.Verdict == policy.VerdictPromoted {
			promoted++
			return
		}
		keep := func(all []by, label string) []by {
			return slices.DeleteFunc(slices.Clone(all), func(by) bool { return rapid.Bool().Draw(rt, label) })
		}
		after := policy.Evaluate(c, found(t, f, c, keep(signatures, "less"), keep(attestations, "less")), received())
		if after.Verdict == policy.VerdictPromoted {
			rt.Fatalf("%+v became a yes", before.Findings)
		}
	})
	if promoted == 0 {
		t.Error("no evidence that was drawn made a yes: the test shows nothing")
	}
}

func TestWhatStrangersAddChangesNothingButTheWait(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	c := f.compile(t, quorate(rand.New(rand.NewSource(1))))
	verdicts := map[policy.Verdict]int{}
	rapid.Check(t, func(rt *rapid.T) {
		signatures, attestations := both(rt)
		before, after := found(t, f, c, signatures, attestations), found(t, f, c,
			append(slices.Clone(signatures), some(rt, strange(), "more signatures")...), append(slices.Clone(attestations), some(rt, strange(), "more attestations")...))
		if rapid.IntRange(0, 3).Draw(rt, "trouble") == 0 {
			problem(policy.PartSignatures, "")(keys{}, before)
			problem(policy.PartSignatures, "")(keys{}, after)
		}
		was, is := policy.Evaluate(c, before, received()).Verdict, policy.Evaluate(c, after, received()).Verdict
		verdicts[was]++
		if was != is && (was != policy.VerdictPending || is != policy.VerdictRejected) {
			rt.Fatalf("%s became %s", was, is)
		}
	})
	for _, v := range []policy.Verdict{policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictPending, policy.VerdictError} {
		if verdicts[v] == 0 {
			t.Errorf("no evidence that was drawn was %s: %v", v, verdicts)
		}
	}
}

// The order of anyOf, of authorities, of signature rules, of names and of
// evidence changes nothing, nor does asking again.
func TestOrderChangesNoByte(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	rapid.Check(t, func(rt *rapid.T) {
		signatures, attestations := both(rt)
		judge := func(seed int64) []byte {
			r := rand.New(rand.NewSource(seed))
			shuffle(r, signatures)
			shuffle(r, attestations)
			c := f.compile(t, quorate(r))
			ev := found(t, f, c, signatures, attestations)
			result := policy.Evaluate(c, ev, received())
			if again := policy.Evaluate(c, ev, received()); !bytes.Equal(marshal(t, result), marshal(t, again)) {
				rt.Fatalf("twice asked, two answers:\n%s\n%s", marshal(t, result), marshal(t, again))
			}
			result.Fingerprint = "" // is of the text
			result.Inputs = nil     // the manifests' digests are of their places here
			return marshal(t, result)
		}
		a, b := judge(rapid.Int64().Draw(rt, "seed")), judge(rapid.Int64().Draw(rt, "seed"))
		if !bytes.Equal(a, b) {
			rt.Fatalf("%s\n%s", a, b)
		}
	})
}

func marshal(t *testing.T, r policy.Result) []byte {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheOrderOfProblemsIsIrrelevant(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, signed+critical)
	judge := func(reasons ...string) string {
		ev := k.good()
		ev.Signatures = nil
		for _, part := range []policy.Part{policy.PartSignatures, policy.PartScan} {
			for _, reason := range reasons {
				ev.Problems = append(ev.Problems, policy.Problem{Part: part, Reason: reason})
			}
		}
		return string(marshal(t, policy.Evaluate(c, ev, received())))
	}
	if a, b := judge("first", "second"), judge("second", "first"); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

// Whether a threshold is reached is what trying every assignment says.
func TestThresholdsAreAMatching(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	rapid.Check(t, func(rt *rapid.T) {
		const people = 5
		n := rapid.IntRange(1, 5).Draw(rt, "authorities")
		is := make([][]int, n) // authority to people
		var entries []string
		for i := range is {
			var names []string
			for p := range people {
				if rapid.Bool().Draw(rt, "is") {
					is[i] = append(is[i], p)
					names = append(names, fmt.Sprintf("p%d", p))
				}
			}
			// Each authority has a name of its own, so that none is there twice.
			entries = append(entries, fmt.Sprintf(`{keyless: {issuer: i, identityRegExp: "%s"}}`, strings.Join(append(names, fmt.Sprintf("none%d", i)), "|")))
		}
		var signers []int
		var pieces []by
		for p := range people {
			for range rapid.IntRange(0, 2).Draw(rt, "times") {
				pieces = append(pieces, who(policy.Identity{TrustRoot: "sigstore", Issuer: "i", Subject: fmt.Sprintf("p%d", p)}))
				if !slices.Contains(signers, p) {
					signers = append(signers, p)
				}
			}
		}
		want := rapid.IntRange(1, n).Draw(rt, "threshold")
		c := f.compile(t, "signatures: ["+threshold(fmt.Sprint(want), strings.Join(entries, ", "))+"]")
		got := policy.Evaluate(c, evidence(t, f, c, false, pieces...), received()).Verdict == policy.VerdictPromoted
		if most := assign(is, signers, 0, map[int]bool{}); got != (most >= want) {
			rt.Errorf("%v signed; authorities %v; %d of %d can be assigned, want %d; got %v", signers, is, most, n, want, got)
		}
	})
}

// assign tries every assignment of signers to the authorities from i on.
func assign(is [][]int, signers []int, i int, used map[int]bool) int {
	if i == len(is) {
		return 0
	}
	most := assign(is, signers, i+1, used)
	for _, p := range is[i] {
		if slices.Contains(signers, p) && !used[p] {
			used[p] = true
			most = max(most, 1+assign(is, signers, i+1, used))
			delete(used, p)
		}
	}
	return most
}
