package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestTagsOfPromotions(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 14, 5, 9, 123456000, time.FixedZone("elsewhere", 3600))
	for name, tt := range map[string]struct {
		tag, template, want string
		at                  time.Time
	}{
		"the tag":                        {"v1.4.2", "{{ .Tag }}", "v1.4.2", at},
		"the day, UTC":                   {"v1", "{{ .Tag }}-{{ .Date }}", "v1-20261120", at},
		"a time, UTC":                    {"v1", `{{ .Time "2006-01-02T150405" }}`, "2026-11-20T130509", at},
		"microseconds":                   {"v1", `{{ .Time "150405.000000" }}`, "130509.123456", at},
		"names of day and month":         {"v1", `{{ .Time "Monday-Mon-January-Jan-02-3PM-06-002-MST" }}`, "Friday-Fri-November-Nov-20-1PM-26-324-UTC", at},
		"weekday and week":               {"v1", `{{ .Weekday }}-{{ .Week }}`, "5-46", at},
		"a Sunday before the first week": {"v1", `{{ .Weekday }}-{{ .Week }}`, "0-00", time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)},
		"the Monday after it":            {"v1", `{{ .Weekday }}-{{ .Week }}`, "1-01", time.Date(2023, 1, 2, 0, 0, 0, 0, time.UTC)},
		"a year that begins with Monday": {"v1", `{{ .Weekday }}-{{ .Week }}`, "1-01", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)},
		"the last day of a leap year":    {"v1", `{{ .Week }}`, "53", time.Date(2012, 12, 31, 0, 0, 0, 0, time.UTC)},
		"parts of the version":           {"v1.4.2-rc.1", "{{ .Version.Major }}.{{ .Version.Minor }}", "1.4", at},
		"a tag that is no version":       {"latest", "{{ .Version.Major }}", `the tag "latest" is no version such as 1.4.2`, at},
		"half a version":                 {"1.4", "{{ .Version.Major }}", `the tag "1.4" is no version`, at},
		"what cannot be a tag":           {"v1", `{{ .Time "15:04" }}`, `"13:05" is no valid name`, at},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := matching(policy.Match{Repositories: []string{"**"}})
			p.Spec.Promote.Tags = []string{tt.template}
			c, err := policy.Compile(p)
			if err != nil {
				t.Fatal(err)
			}
			ev := newKeys(t).good()
			ev.Push.Tag = tt.tag
			got := policy.Evaluate(c, ev, tt.at)
			if got.Promotion.Repository == "" {
				t.Errorf("nobody is held back there: %+v", got.Promotion)
			}
			if len(got.Promotion.Tags) == 0 {
				if got.Verdict != policy.VerdictRejected || !strings.Contains(got.Findings[0].Found, tt.want) {
					t.Errorf("%s: %+v", got.Verdict, got.Findings)
				}
				return
			}
			if got.Promotion.Tags[0] != tt.want {
				t.Errorf("%s, want %s", got.Promotion.Tags[0], tt.want)
			}
		})
	}
}
