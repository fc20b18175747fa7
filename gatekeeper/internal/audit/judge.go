package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
)

// objection says why a summary does not count; empty when it does.
func (j *job) objection(f summary.Found, digest string) (Reason, string) {
	switch {
	case errors.Is(f.Err, summary.ErrUnknownSigner):
		return WrongKey, "its summary " + f.Carrier + " is not signed by a key of the configuration"
	case errors.Is(f.Err, summary.ErrOtherDigest):
		return OtherDigest, "the summary " + f.Carrier + " is " + f.Err.Error()
	case f.Err != nil:
		return Malformed, "the summary " + f.Carrier + ": " + f.Err.Error()
	case f.Verifier != j.Verifier:
		return OtherVerifier, fmt.Sprintf("its summary names the verifier %q, not %q", f.Verifier, j.Verifier)
	case f.Result != summary.Passed || !slices.Contains(f.Levels, summary.Level):
		return NotPassed, fmt.Sprintf("its summary says %q for %q, not that it is golden", f.Result, f.Levels)
	case f.ResourceURI != j.golden+"@"+digest:
		return OtherReference, fmt.Sprintf("it was approved as %q, not for this repository", f.ResourceURI)
	}
	return "", ""
}

// closer says whether a reason tells more than another about what is wrong: a
// summary that nearly counts more than one that says nothing.
func closer(a, b Reason) bool {
	order := []Reason{NoSummary, Malformed, OtherDigest, WrongKey, OtherVerifier, NotPassed, OtherReference}
	return slices.Index(order, a) > slices.Index(order, b)
}

// approval is the newest word about one tag.
type approval struct {
	digest string
	found  summary.Found
}

// judge compares the tags with the approvals.
func (j *job) judge() {
	newest := j.newest()
	for tag, digest := range j.points {
		if digest != "" { // else there is a finding already
			j.add(j.judgeTag(tag, digest, newest[tag]))
		}
	}
	j.judgeUntagged()
	for tag, a := range newest {
		if _, there := j.points[tag]; !there {
			at := a.found.At
			j.add(Finding{
				Tag: tag, Digest: a.digest, Status: Missing, Reason: Deleted, Policy: a.found.Policy, Approved: &at,
				Detail: "it was approved for " + a.digest + ", and does not exist: it was deleted, or the promotion is not finished",
			})
		}
	}
}

// judgeUntagged speaks about the digests that only reserved tags name. What is
// said about them may be that a tag was approved which is not there: when it
// cannot be read, the audit does not know.
func (j *job) judgeUntagged() {
	seen := map[string]bool{} // digests with a tag, and reserved tags with a finding
	for _, digest := range j.points {
		seen[digest] = true
	}
	for _, f := range j.findings {
		seen[f.Tag] = true
	}
	for digest, k := range j.known {
		switch {
		case seen[digest] || seen[k.tag]:
		case k.undecided != nil:
			j.add(unavailable(k.tag, digest, k.undecided))
		case len(k.approvals) == 0 && k.reason == Malformed:
			j.add(Finding{Tag: k.tag, Digest: digest, Status: Bypassed, Reason: Malformed, Detail: k.detail})
		}
	}
}

// newest finds the latest approval of each tag, whatever it points to now.
func (j *job) newest() map[string]approval {
	newest := map[string]approval{}
	for _, digest := range slices.Sorted(maps.Keys(j.known)) {
		for _, f := range j.known[digest].approvals {
			for _, name := range f.Names {
				tag, ours := strings.CutPrefix(name, j.golden+":")
				if ours && (newest[tag].digest == "" || f.After(newest[tag].found.Summary)) {
					newest[tag] = approval{digest, f}
				}
			}
		}
	}
	return newest
}

func (j *job) judgeTag(tag, digest string, last approval) Finding {
	f := Finding{Tag: tag, Digest: digest, Status: Bypassed}
	k := j.known[digest]
	own, approved := k.approval(j.golden + ":" + tag)
	switch {
	case k.undecided != nil:
		return unavailable(tag, digest, k.undecided)
	case len(k.approvals) == 0:
		f.Reason, f.Detail = k.reason, k.detail
	case !approved:
		f.Reason = NotApproved
		f.Detail = fmt.Sprintf("the image was approved for %q, not for this tag", k.approvals[0].Names)
	case last.found.After(own.Summary):
		f.Reason = MovedBack
		f.Detail = fmt.Sprintf("%s, approved at %s, has the last word on the tag: an older image came back, or a promotion is not finished",
			last.digest, last.found.At.UTC().Format(time.DateTime))
	default:
		at := own.At
		f.Status, f.Policy, f.Approved = OK, own.Policy, &at
	}
	return f
}

// approval is the latest one that names a tag, host/repository:tag.
func (k *known) approval(name string) (latest summary.Found, found bool) {
	for _, f := range k.approvals {
		if f.Approves(name) && (!found || f.After(latest.Summary)) {
			latest, found = f, true
		}
	}
	return latest, found
}

// reservedPattern is the form of the tags that are kept for what belongs to a
// digest.
func reservedPattern() *regexp.Regexp {
	return regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.sig|\.att|\.sbom)?$`)
}

// reserved returns the digest that a tag of cosign's older form or of the
// referrers fallback belongs to.
func reserved(tag string) (digest string, ok bool) {
	m := reservedPattern().FindStringSubmatch(tag)
	if m == nil {
		return "", false
	}
	return "sha256:" + m[1], true
}

// readReserved makes sure that nobody hides an image under a tag that is kept
// for signatures.
func (j *job) readReserved(ctx context.Context, tag string) error {
	hidden, err := j.hides(ctx, tag)
	switch {
	case errors.Is(err, gatekeeper.ErrNotFound):
		return nil
	case errors.Is(err, gatekeeper.ErrInvalidContent):
		j.add(Finding{Tag: tag, Status: Bypassed, Reason: Malformed, Detail: err.Error()})
	case err != nil:
		j.add(unavailable(tag, "", err))
		return ctx.Err()
	case hidden != "":
		j.add(Finding{Tag: tag, Digest: hidden, Status: Bypassed, Reason: HiddenImage, Detail: "an image under a tag that is kept for signatures"})
	}
	return nil
}

// hides returns the digest of an image that a reserved tag leads to.
func (j *job) hides(ctx context.Context, tag string) (string, error) {
	content, err := j.Registries.ManifestByTag(ctx, j.repo, tag)
	if err != nil {
		return "", err
	}
	if strings.Contains(tag, ".") || content.MediaType != ocispec.MediaTypeImageIndex {
		return runnable(content), nil
	}
	var index ocispec.Index
	if err := json.Unmarshal(content.Body, &index); err != nil {
		return "", fmt.Errorf("%w: %s: %w", gatekeeper.ErrInvalidContent, tag, err)
	}
	for _, m := range index.Manifests {
		entry, err := j.Registries.Manifest(ctx, j.repo, m.Digest.String())
		if errors.Is(err, gatekeeper.ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return "", err
		}
		if hidden := runnable(entry); hidden != "" {
			return hidden, nil
		}
	}
	return "", nil
}

func runnable(content registry.Content) string {
	if promote.Runnable(content) {
		return content.Digest
	}
	return ""
}
