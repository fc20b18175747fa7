package policy

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/semver/v3"
)

// TemplateData is what the templates of spec.promote see.
type TemplateData struct {
	Repository  string // the pushed repository
	Tag         string // the pushed tag
	Date        string // the day of the decision, UTC, as 20060102
	Digest      string // sha256:…
	ShortDigest string // the first 12 hex digits of the digest
	at          time.Time
}

// Time is the time of the decision, UTC, in a layout of Go's package time, such
// as 20060102T150405.
func (d TemplateData) Time(layout string) string { return d.at.UTC().Format(layout) }

// Weekday is the day of the week of the decision, UTC, from 0 for Sunday.
func (d TemplateData) Weekday() int { return int(d.at.UTC().Weekday()) }

// Week is the week of the year of the decision, UTC, from 00 to 53: weeks begin
// with Monday, and days before the first one are in week 00 (strftime(3), %W).
func (d TemplateData) Week() string {
	monday := (d.Weekday() + 6) % 7
	return fmt.Sprintf("%02d", (d.at.UTC().YearDay()+6-monday)/7)
}

// Version is the pushed tag as a semantic version, of which a template can take
// Major, Minor, Patch and Prerelease. It is an error when the tag is none.
func (d TemplateData) Version() (*semver.Version, error) {
	v, err := tagVersion(d.Tag)
	if err != nil {
		return nil, fmt.Errorf("the tag %q is no version such as 1.4.2: %w", d.Tag, err)
	}
	return v, nil
}

// nameGrammar is the grammar of names (OCI distribution-spec v1.1, "Pulling
// manifests").
type nameGrammar struct{ repository, tag *regexp.Regexp }

func newNameGrammar() nameGrammar {
	return nameGrammar{
		repository: regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`),
		tag:        regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`),
	}
}

// maxRepository bounds a repository's name, as common registries do, and maxTag
// a tag's, as the grammar does.
const (
	maxRepository = 255
	maxTag        = 128
)

// checkPromotion renders where the image goes. Names that no registry accepts
// refuse it; there would be no place to put it. Who promotes to the same place is
// held back by that, so that what is known of it is returned all the same.
func (e *evaluation) checkPromotion() *Promotion {
	data := TemplateData{
		Repository: e.evidence.Subject.Repository, Tag: e.evidence.Push.Tag, Digest: e.evidence.Subject.Digest,
		Date: e.now.UTC().Format("20060102"), at: e.now,
	}
	_, hex, _ := strings.Cut(data.Digest, ":")
	data.ShortDigest = hex[:min(len(hex), 12)]
	to := &Promotion{Registry: e.spec.Promote.To, Immutable: e.spec.Promote.Immutable}
	var err error
	if to.Repository, err = render(e.compiled.repository, data, e.compiled.names.repository, maxRepository); err == nil {
		if to.Tags, err = e.compiled.renderTags(e.compiled.tags, data); err == nil {
			to.Channels, err = e.compiled.renderTags(e.compiled.channels, data)
		}
	}
	if err == nil && (reserved(to.Tags) || reserved(to.Channels)) {
		err = fmt.Errorf("a tag of the form sha256-… is kept for signatures")
	}
	if err != nil {
		e.add(Finding{
			Check: CheckPromote, Outcome: OutcomeFail, Reason: ReasonMalformed,
			Found: err.Error(), Expected: "a golden repository and tags that a registry accepts",
			Remedy: "push under a tag that the policy's templates can use, or have the security team change spec.promote",
		})
		to.Tags, to.Channels = []string{}, nil
	}
	return to
}

func (c *Compiled) renderTags(templates []*template.Template, data TemplateData) ([]string, error) {
	var all []string
	for _, t := range templates {
		tag, err := render(t, data, c.names.tag, maxTag)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, tag) {
			all = append(all, tag)
		}
	}
	return all, nil
}

func render(t *template.Template, data TemplateData, grammar *regexp.Regexp, limit int) (string, error) {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("render the template: %w", err)
	}
	name := b.String()
	if len(name) > limit || !grammar.MatchString(name) {
		return "", fmt.Errorf("%q is no valid name", name)
	}
	return name, nil
}

// reserved says whether one of the tags has the form under which cosign and
// the referrers fallback keep what belongs to a digest.
func reserved(tags []string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return strings.HasPrefix(t, "sha256-") })
}
