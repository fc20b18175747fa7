package policy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What expressions see is what encoding/json makes of the evidence.
func TestCELValuesAreThoseOfJSON(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a\xff", "\u2028<&>"}))
	texts := rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(text, 0, 3))
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 1<<29).Draw(t, "ns")).UTC()
	})
	labels := rapid.OneOf(rapid.Just(map[string]string(nil)), rapid.MapOfN(text, text, 0, 3))
	rapid.Check(t, func(t *rapid.T) {
		when := moment.Draw(t, "when")
		identity := Identity{TrustRoot: "r", Claims: labels.Draw(t, "claims")}
		attestation := Attestation{
			Form: "tag", Predicate: rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`{"b":[1,2.5,null,"x"],"a":{}}`), json.RawMessage(`"t"`)}).Draw(t, "predicate"),
			VerifiedBy: texts.Draw(t, "by"), PredicateType: text.Draw(t, "type"),
		}
		for _, v := range []any{
			Subject{Registry: text.Draw(t, "registry")},
			&Push{Tag: text.Draw(t, "tag"), ReceivedAt: when},
			Platform{
				Name: text.Draw(t, "name"), Created: &when, Labels: labels.Draw(t, "labels"), Config: Config{Env: texts.Draw(t, "env")},
				Layers: rapid.SampledFrom([][]Layer{nil, {}, {{Size: 1 << 40}}}).Draw(t, "layers"),
			},
			Platform{Scan: &Scan{OS: &OperatingSystem{EndOfLife: &when}, Packages: []Package{{Name: "a"}, {FixedIn: "1"}}, Vulnerabilities: []Vulnerability{{EPSS: rapid.Float64Range(0, 1).Draw(t, "epss"), FixedAt: &when, FixedIn: texts.Draw(t, "fixed")}}}},
			[]shownAttestation{{attestation, attestation.PredicateType, listed(attestation.VerifiedBy), shownIdentities([]Identity{identity}), []string{}}},
			[]shownSignature{},
			[]Package(nil), Duration(time.Hour),
			[]Date{{when}},
			map[string]uint16{"a": 7},
			(*OperatingSystem)(nil), Catalogue{}.withDefault(),
			Scan{},
		} {
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			var want any
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			got, err := celValue(v)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%T: %v\n%s", v, err, diff)
			}
		}
	})
}

// Evidence has no other kinds of values; one that comes to it is an error, and
// no yes.
func TestWhatIsNoEvidenceHasNoValue(t *testing.T) {
	t.Parallel()
	for _, v := range []any{make(chan int), []any{func() {}}, struct{ A complex128 }{}} {
		if got, err := celValue(v); err == nil {
			t.Errorf("%T: %v", v, got)
		}
	}
	if _, err := celValue(Attestation{Predicate: json.RawMessage(`{`)}); err == nil {
		t.Error("a predicate that is cut off")
	}
}
