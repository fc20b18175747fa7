package vulnreport_test

import (
	"encoding/json"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy/vulnreport"
)

func FuzzInToto(f *testing.F) {
	for _, name := range []string{"intoto-v01.json", "intoto-v02.json"} {
		f.Add(sample(f, name))
	}
	f.Add(`{"scanner":{"uri":"x","result":null},"metadata":{"scanFinishedOn":"2026-11-20T06:00:00Z"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		parse(t, vulnreport.PredicateInTotoV01, text)
		parse(t, vulnreport.PredicateInTotoV02, text)
	})
}

func FuzzTrivy(f *testing.F) { fuzzResult(f, "trivy.json") }

func FuzzGrype(f *testing.F) { fuzzResult(f, "grype.json") }

func FuzzSARIF(f *testing.F) { fuzzResult(f, "trivy-sarif.json", "grype-sarif.json") }

// FuzzCosign is about the frame around those reports.
func FuzzCosign(f *testing.F) {
	for name, predicateType := range samples() {
		if predicateType == vulnreport.PredicateCosign {
			f.Add(sample(f, name))
		}
	}
	f.Add(`{"scanner":{"uri":"x","result":null},"metadata":{"scanFinishedOn":"2026-11-20T06:00:00Z"}}`)
	f.Fuzz(func(t *testing.T, text string) { parse(t, vulnreport.PredicateCosign, text) })
}

// fuzzResult changes what is inside cosign's frame.
func fuzzResult(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		var p struct {
			Scanner struct {
				Result json.RawMessage `json:"result"`
			} `json:"scanner"`
		}
		if err := json.Unmarshal([]byte(sample(f, name)), &p); err != nil {
			f.Fatal(err)
		}
		f.Add(string(p.Scanner.Result))
	}
	f.Fuzz(func(t *testing.T, result string) {
		parse(t, vulnreport.PredicateCosign, `{"scanner":{"uri":"x","result":`+result+`},"metadata":{"scanFinishedOn":"2026-11-20T06:00:00Z"}}`)
	})
}

// parse checks that whatever a report says, it is an error, or it says who
// scanned when, and every vulnerability in it can be told.
func parse(t *testing.T, predicateType, text string) {
	t.Helper()
	r, err := vulnreport.Parse(predicateType, []byte(text))
	if err != nil {
		return
	}
	if r.Scanner == "" || r.Finished.IsZero() {
		t.Errorf("nobody says who scanned when: %+v", r)
	}
	for _, v := range r.Vulnerabilities {
		if v.ID == "" || (v.Package == "") != v.Unsaid.Package || (v.Severity == "") != v.Unsaid.Severity || (v.FixState == "") != v.Unsaid.Fix {
			t.Errorf("%+v", v)
		}
	}
}
