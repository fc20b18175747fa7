package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// CreatedFrom says whose word counts for when an image was created. Of several
// sources, each has to say that it was recently enough: if one could stand in
// for another, taking an attestation away would help.
type CreatedFrom struct {
	From     []string `yaml:"from" json:"from"`                   // provenance, configuration
	SignedBy []string `yaml:"signedBy" json:"signedBy,omitempty"` // names of authorities, for provenance
}

// The sources of an image's creation time.
const (
	createdProvenance    = "provenance"    // SLSA provenance by an authority
	createdConfiguration = "configuration" // what the image's configuration claims
)

// The predicate types of SLSA provenance.
const (
	provenanceV1  = "https://slsa.dev/provenance/v1"
	provenanceV02 = "https://slsa.dev/provenance/v0.2"
)

func (b *builder) checkCreated(p PatchLevel) {
	c := p.Created
	if c == nil {
		return
	}
	const path = "$.spec.patchLevel.created"
	if p.MaxAge == 0 {
		b.errorf(path, "says nothing without an age; write maxAge beside it, such as 30d")
	}
	if len(c.From) == 0 {
		b.errorf(path+".from", "missing; write [provenance], [configuration] or both, each of which then has to be recent")
	}
	for i, from := range c.From {
		if from != createdProvenance && from != createdConfiguration {
			b.errorf(fmt.Sprintf("%s.from[%d]", path, i), "%q; write provenance or configuration", from)
		}
		if slices.Contains(c.From[:i], from) {
			b.errorf(fmt.Sprintf("%s.from[%d]", path, i), "%q is there twice", from)
		}
	}
	switch {
	case slices.Contains(c.From, createdProvenance):
		b.checkAttesters(path+".signedBy", c.SignedBy)
	case len(c.SignedBy) > 0:
		b.errorf(path+".signedBy", "nobody signs a configuration; write provenance under from, or take this away")
	}
}

// datedBy says whether a source counts for when an image was created.
func (e *evaluation) datedBy(source string) bool {
	c := e.spec.PatchLevel.Created
	if c == nil {
		return source == createdConfiguration
	}
	return slices.Contains(c.From, source)
}

// checkAttestedAge looks for provenance by the authorities that says that the
// image was built recently enough; one is enough. It returns when the newest
// build ended; zero when none counts.
func (e *evaluation) checkAttestedAge() (newest time.Time) {
	names := e.spec.PatchLevel.Created.SignedBy
	q := newQuorum(e.compiled.groups(names...))
	count := tally{wanted: q}
	var refused Finding
	for _, a := range e.evidence.Attestations {
		if a.PredicateType != provenanceV1 && a.PredicateType != provenanceV02 && (a.Result != Malformed || a.PredicateType != "") {
			continue
		}
		if !q.is(a.proof()) {
			count.add(e.standing(a.proof()), a.Reason, a.Identities)
			continue
		}
		built, f := e.attestedAge(a)
		if f.Found != "" {
			if f.Found > refused.Found {
				refused = f
			}
			continue
		}
		q.add(a.proof())
		if built.After(newest) {
			newest = built
		}
	}
	if q.reached() {
		return newest
	}
	e.addUndated(q, count, refused, names)
	return time.Time{}
}

// addUndated says why no provenance says when the image was created.
func (e *evaluation) addUndated(q *quorum, count tally, refused Finding, names []string) {
	const rule = createdProvenance
	if p, ok := e.problem(PartSignatures, ""); ok {
		e.unknown(CheckMaxAge, rule, "", p.Reason, operatorRemedy)
		return
	}
	if refused.Found != "" {
		e.add(refused)
		return
	}
	f := e.tooOld()
	f.Rule = rule
	f.Expected += ", as provenance says by " + q.String()
	f.Outcome, f.Reason, f.Found = e.classify(count, q.some(), "attestation"+ofType+provenanceV1)
	f.Remedy = q.remedy("attest it", names) + q.command("cosign attest", "--type slsaprovenance1 --predicate FILE REGISTRY/"+e.subject())
	e.add(f)
}

// attestedAge is when provenance says that the build ended; or the finding that
// it says nothing, or a time that is not taken.
func (e *evaluation) attestedAge(a Attestation) (time.Time, Finding) {
	f := e.tooOld()
	f.Rule = createdProvenance
	built, err := builtAt(a)
	switch {
	case err != nil:
		f.Reason, f.Found = ReasonMalformed, "the provenance does not say when the image was built: "+err.Error()
		f.Remedy = "have the builder write when the build ended: runDetails.metadata.finishedOn in SLSA v1"
	case e.wrongAge(&f, built):
		f.Found = "the provenance says " + f.Found
	default:
		return built, Finding{}
	}
	return time.Time{}, f
}

// builtAt is when a build ended (SLSA provenance v1,
// runDetails.metadata.finishedOn; v0.2, metadata.buildFinishedOn), or at least
// when it began.
func builtAt(a Attestation) (time.Time, error) {
	var predicate struct {
		RunDetails struct {
			Metadata struct{ FinishedOn, StartedOn string }
		}
		Metadata struct{ BuildFinishedOn, BuildStartedOn string }
	}
	if err := json.Unmarshal(a.Predicate, &predicate); err != nil {
		return time.Time{}, err
	}
	one := predicate.RunDetails.Metadata
	times := []string{one.FinishedOn, one.StartedOn}
	if a.PredicateType == provenanceV02 {
		times = []string{predicate.Metadata.BuildFinishedOn, predicate.Metadata.BuildStartedOn}
	}
	for _, text := range times {
		if text == "" {
			continue
		}
		return time.Parse(time.RFC3339, text)
	}
	return time.Time{}, fmt.Errorf("no time in its metadata")
}
