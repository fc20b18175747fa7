package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/report"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func TestWhatAnImageIsBuiltOnIsShown(t *testing.T) {
	t.Parallel()
	on := func(platform, repository string, behind int) policy.BuiltOn {
		return policy.BuiltOn{Platform: platform, Image: "sha256:" + platform, Manifest: "sha256:of-" + platform, Registry: "golden", Repository: repository, Digest: "sha256:123", Behind: behind}
	}
	d := unsigned()
	d.Results[0].Bases = []policy.BuiltOn{on("linux/amd64", "base/debian", 0), on("linux/arm64", "base/debian", 0), on("linux/s390x", "base/alpine", 1), on("windows/amd64", "base/nano", 2)}
	var b strings.Builder
	if err := report.Text(&b, d); err != nil {
		t.Fatal(err)
	}
	const want = `    what to do: sign it
  Built on golden/base/debian@sha256:123, its newest release (linux/amd64, linux/arm64).
  Built on golden/base/alpine@sha256:123, 1 release behind (linux/s390x).
  Built on golden/base/nano@sha256:123, 2 releases behind (windows/amd64).
`
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("%s\nwant at the end\n%s", b.String(), want)
	}
	for i := range 20 {
		d.Results[0].Bases = append(d.Results[0].Bases, on("linux/amd64", fmt.Sprint("base/", i), 0))
	}
	b.Reset()
	if err := report.Text(&b, d); err != nil || strings.Count(b.String(), "Built on") != 10 || !strings.Contains(b.String(), "And on 13 more bases") {
		t.Errorf("%s", b.String())
	}
}
