package app

import (
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// signing says who signs a sample, and when.
type signing int

const (
	signedFirst    signing = iota // before the tag is pushed
	signedByNobody                //
	signedByOther                 // by a key that the policy does not name
	signedLate                    // once the push is pending
)

// sample is an image of the demonstration with the verdict it must get.
type sample struct {
	name    string // the last part of the repository
	about   string
	signing signing
	// platforms are the images of an index; one makes a plain image.
	platforms []sampleimage.Spec
	// earlier is pushed under the same tag right before.
	earlier *sampleimage.Spec
	want    policy.Verdict
	// reason has to be among the findings; empty: none is asked for.
	reason policy.Reason
}

// excepted is the vulnerability that one sample has an exception for; another
// sample has it without.
const excepted = "CVE-2023-38545"

// samples lists the samples of the demonstration. Ages count from now.
func samples(now time.Time) []sample {
	recent, old := now.AddDate(0, 0, -3), now.AddDate(0, 0, -200)
	debian := func(name string, created time.Time, packages ...sampleimage.Package) sampleimage.Spec {
		if len(packages) == 0 {
			packages = []sampleimage.Package{{Name: "libc6", Source: "glibc", Version: "2.36-9+deb12u10"}, {Name: "curl", Version: "7.88.1-10+deb12u12"}}
		}
		return sampleimage.Spec{OS: "debian", Version: "12", Packages: packages, Created: created, User: "65532", Content: name}
	}
	vulnerable := []sampleimage.Package{{Name: "libcurl4", Source: "curl", Version: "7.88.1-10+deb12u1"}}
	endOfLife := sampleimage.Spec{
		OS: "debian", Version: "10", Created: recent, Content: "end-of-life",
		Packages: []sampleimage.Package{{Name: "libc6", Source: "glibc", Version: "2.28-10+deb10u2"}},
	}
	alpine := sampleimage.Spec{
		OS: "alpine", Version: "3.22.1", Created: recent, Architecture: "arm64", Content: "arm64",
		Packages: []sampleimage.Package{{Name: "libexpat", Source: "expat", Version: "2.6.2-r0"}},
	}
	first := debian("moved, first", recent)
	one := func(s sampleimage.Spec) []sampleimage.Spec { return []sampleimage.Spec{s} }
	return []sample{
		{name: "signed", about: "signed and clean", platforms: one(debian("signed", recent)), want: policy.VerdictPromoted},
		{
			name: "unsigned", about: "nobody signs it", signing: signedByNobody, platforms: one(debian("unsigned", recent)),
			want: policy.VerdictRejected, reason: policy.ReasonAbsent,
		},
		{
			name: "stranger", about: "signed by somebody else", signing: signedByOther, platforms: one(debian("stranger", recent)),
			want: policy.VerdictRejected, reason: policy.ReasonWrongSigner,
		},
		{name: "signed-late", about: "signed after the push", signing: signedLate, platforms: one(debian("signed-late", recent)), want: policy.VerdictPromoted},
		{
			name: "vulnerable", about: "a critical vulnerability with a fix", platforms: one(debian("vulnerable", recent, vulnerable...)),
			want: policy.VerdictRejected, reason: policy.ReasonDenied,
		},
		{
			name: "excepted", about: "the same vulnerability, with an exception", platforms: one(debian("excepted", recent, vulnerable...)),
			want: policy.VerdictPromoted, reason: policy.ReasonExcepted,
		},
		{
			name: "end-of-life", about: "an operating system past its end of life", platforms: one(endOfLife),
			want: policy.VerdictRejected, reason: policy.ReasonEndOfLife,
		},
		{name: "too-old", about: "built 200 days ago", platforms: one(debian("too-old", old)), want: policy.VerdictRejected, reason: policy.ReasonTooOld},
		{
			name: "two-platforms", about: "one platform of two is vulnerable", platforms: []sampleimage.Spec{debian("two-platforms", recent), alpine},
			want: policy.VerdictRejected, reason: policy.ReasonDenied,
		},
		{
			name: "moved", about: "a tag pushed twice; the newer one wins", platforms: one(debian("moved, second", recent)), earlier: &first,
			want: policy.VerdictPromoted,
		},
	}
}
