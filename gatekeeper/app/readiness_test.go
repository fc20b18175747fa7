package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
)

// What the kernel refuses stops no service, and nobody has to look for it in
// the log.
func TestReadinessListsWhatScansAreNotConfinedWith(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		missing []string
		want    string // empty: all is well
	}{{nil, ""}, {[]string{"namespaces: refused", "landlock: none"}, "namespaces: refused; landlock: none"}} {
		svc := &service{setup: &setup{config: &config.Config{}}, unconfined: tt.missing}
		found := false
		for _, c := range svc.readiness() {
			if c.Name != "confinement of scans" {
				continue
			}
			found = true
			err := c.Run(t.Context())
			if !c.Informational || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if !found {
			t.Error("there is no such check")
		}
	}
}
