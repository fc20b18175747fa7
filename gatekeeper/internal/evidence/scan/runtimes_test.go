package scan_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestRuntimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ kind, name, version, want, end string }{
		{"generic", "node", "20.11.0", "nodejs 20.11.0", "2026-05-01"},
		{"generic", "python", "3.11.4", "python 3.11.4", "2027-11-01"},
		{"generic", "python", "3.1.4", "python 3.1.4", ""}, // is no 3.10
		{"golang", "stdlib", "1.22.3", "go 1.22.3", "2025-02-12"},
		{"golang", "stdlib", "go1.26rc1", "go 1.26", "2027-03-01"},
		{"golang", "stdlib", "devel +abc", "go ", ""},
		{"golang", "github.com/acme/stdlib", "1.2.3", "", ""},
		{"generic", "openjdk", "17.0.13+11-LTS", "java 17.0.13", "2029-11-01"},
		{"generic", "jre", "1.8.0_352-b08", "java 8.0", "2031-01-01"},
		{"generic", "openjdk", "8u432-b06", "java 8", "2031-01-01"},
		{"generic", "openjdk", "99+1", "java 99", ""},
		{"generic", "php-fpm", "7.4.33", "php 7.4.33", "2022-11-29"},
		{"generic", "ruby", "3.2.10", "ruby 3.2.10", "2026-04-01"},
		{"cpan", "perl", "5.40.3", "perl 5.40.3", "2027-06-10"},
		{"nuget", "Microsoft.NETCore.App.Runtime.linux-x64", "8.0.24", "dotnet 8.0.24", "2026-11-11"},
		{"nuget", "Microsoft.NETCore.App", "3.1.32", "dotnet 3.1.32", "2022-12-14"},
		{"nuget", "Newtonsoft.Json", "13.0.1", "", ""},
		{"deb", "nodejs", "18.19.0+dfsg-6", "", ""}, // the distribution mends it
		{"apk", "python3", "3.8.1-r0", "", ""},
		{"npm", "node", "16.0.0", "", ""},
		{"pypi", "python", "2.7", "", ""},
	} {
		got, end := "", ""
		for _, r := range scan.Runtimes([]policy.Package{{Type: tt.kind, Name: tt.name, Version: tt.version}}) {
			got = r.Name + " " + r.Version
			if r.EndOfLife != nil {
				end = r.EndOfLife.Format(time.DateOnly)
			}
			if !slices.Contains(policy.RuntimeNames(), r.Name) || !strings.Contains(r.Package, tt.version) {
				t.Errorf("%+v", r)
			}
		}
		if got != tt.want || end != tt.end {
			t.Errorf("%s %s %s: %q until %q, want %q until %q", tt.kind, tt.name, tt.version, got, end, tt.want, tt.end)
		}
	}
}

// Each is listed once, in order; none is not the same as not looked for, also
// once it was recorded.
func TestRuntimesAreListedOnce(t *testing.T) {
	t.Parallel()
	node, python := policy.Package{Type: "generic", Name: "node", Version: "22.1.0"}, policy.Package{Type: "generic", Name: "python", Version: "3.12.1"}
	if got := scan.Runtimes([]policy.Package{python, node, python}); len(got) != 2 || got[0].Name != "nodejs" {
		t.Errorf("%+v", got)
	}
	for name, runtimes := range map[string][]policy.Runtime{"none": scan.Runtimes(nil), "not looked for": nil} {
		text, err := json.Marshal(policy.Scan{Runtimes: runtimes})
		if err != nil {
			t.Fatal(err)
		}
		var back policy.Scan
		if err := json.Unmarshal(text, &back); err != nil || (back.Runtimes == nil) != (runtimes == nil) {
			t.Errorf("%s: %s became %v, %v", name, text, back.Runtimes, err)
		}
	}
}

// Every name that policies can ask about has releases, and every date is one.
func TestEveryRuntimeHasReleases(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]string{
		"node": "24.0.0", "python": "3.14.0", "go": "1.27.0", "openjdk": "25.0.1", "php": "8.5.0", "ruby": "4.0.0", "perl": "5.42.0", "dotnet": "10.0.0",
	} {
		got := scan.Runtimes([]policy.Package{{Type: "generic", Name: name, Version: version}})
		if len(got) != 1 || got[0].EndOfLife == nil {
			t.Errorf("%s %s: %+v", name, version, got)
		}
	}
}
