package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy/vex"
)

// ruleVEX is what findings call vulnerabilities.vex.
const ruleVEX = "vex"

// vexStatement is a statement in a VEX document that the policy accepts.
type vexStatement struct {
	vex.Statement

	by string // its author, for people
	// only is the digest of the platform that its document is attested to; empty:
	// the subject, and what it says is about every platform.
	only string
}

// verdictOnVEX is what the newest statements about a vulnerability say.
type verdictOnVEX struct {
	by      string
	status  vex.Status
	why     string
	at      time.Time // zero when it does not say
	rank    time.Time // how new it counts
	excused bool
	doubt   string // why a status that excuses does not
}

// String says who stated what.
func (v verdictOnVEX) String() string {
	text := "the VEX statement by " + v.by + ": " + string(v.status)
	if v.why != "" {
		text += ", " + v.why
	}
	if !v.at.IsZero() {
		text += " (" + v.at.UTC().Format(time.DateTime) + ")"
	}
	return text + v.doubt
}

// readVEX reads the VEX documents by those whom the policy names, about the
// subject and about each of its platforms.
func (e *evaluation) readVEX() {
	v := e.spec.Vulnerabilities
	if v == nil || v.VEX == nil {
		return
	}
	e.vex = map[string][]vexStatement{}
	all := e.evidence.Image.Platforms
	e.readVEXAbout(e.evidence.Attestations, all, Platform{Digest: e.evidence.Subject.Digest})
	for _, p := range all {
		if e.within(p) != "" {
			e.readVEXAbout(p.Attestations, []Platform{p}, p)
		}
	}
}

// readVEXAbout reads the documents about some platforms, that are attested to
// what one of them is or all are in, and records why some of them excuse nothing.
// Nobody else's are looked at. Where several have to sign, each has to attest the
// same document.
func (e *evaluation) readVEXAbout(about []Attestation, platforms []Platform, to Platform) {
	signedBy := e.spec.Vulnerabilities.VEX.SignedBy
	quorums := map[string]*quorum{}
	attested := map[string]Attestation{}
	for _, a := range about {
		if !vex.IsPredicateType(a.PredicateType) || !newQuorum(e.compiled.groups(signedBy...)).is(a.proof()) {
			continue
		}
		statement := a.statement()
		if quorums[statement] == nil {
			quorums[statement], attested[statement] = newQuorum(e.compiled.groups(signedBy...)), a
		}
		quorums[statement].add(a.proof())
	}
	for statement, a := range attested {
		e.readVEXDocument(a, quorums[statement], platforms, to)
	}
}

func (e *evaluation) readVEXDocument(a Attestation, q *quorum, platforms []Platform, to Platform) {
	f := Finding{
		Check: CheckVulnerabilities, Rule: ruleVEX, Platform: e.within(to), Outcome: OutcomeInfo,
		Expected: "a VEX document about this image by " + q.String(),
		Remedy:   "attest a VEX document whose product is " + e.productExample(to),
	}
	d, err := vex.Parse(a.PredicateType, a.Predicate)
	switch {
	case err != nil:
		f.Reason, f.Found = ReasonMalformed, "a VEX document that cannot be read, so that it excuses nothing: "+err.Error()
	case len(d.Statements) == 0: // an SBOM
		return
	case !q.reached():
		f.Reason, f.Found = ReasonAbsent, "a VEX document by only "+q.some()+", so that it excuses nothing"
		f.Remedy = "have another of the signers attest the very same document"
	case !slices.ContainsFunc(platforms, func(p Platform) bool { return e.isAbout(d, p) }):
		f.Reason, f.Found = ReasonInvalid, "a VEX document about other products than this image, so that it excuses nothing"
	default:
		by := quoted(e.spec.Vulnerabilities.VEX.SignedBy)
		if d.Author != "" {
			by += " (" + d.Author + ")"
		}
		only := ""
		if e.within(to) != "" {
			only = to.Digest
		}
		for _, s := range d.Statements {
			for _, name := range s.Vulnerabilities {
				e.vex[name] = append(e.vex[name], vexStatement{s, by, only})
			}
		}
		return
	}
	e.add(f)
}

// productExample is how a product names the image, or a platform of it.
func (e *evaluation) productExample(p Platform) string {
	repository := e.evidence.Subject.Repository
	return "pkg:oci/" + repository[strings.LastIndexByte(repository, '/')+1:] + "@" + strings.Replace(p.Digest, ":", "%3A", 1)
}

func (e *evaluation) isAbout(d vex.Document, p Platform) bool {
	return slices.ContainsFunc(d.Statements, func(s vex.Statement) bool {
		return s.Inherits || slices.ContainsFunc(s.Products, func(product vex.Product) bool { return product.Is(e.asProduct(p)) })
	})
}

func (e *evaluation) asProduct(p Platform) vex.Image {
	image := vex.Image{
		Digests: []string{e.evidence.Subject.Digest}, Repository: e.evidence.Subject.Repository, Tag: e.evidence.Push.Tag, Architecture: p.Architecture,
	}
	if p.Digest != "" {
		image.Digests = append(image.Digests, p.Digest)
	}
	return image
}

// vexUnknown says why it is not known which VEX statements there are about a
// platform; empty when it is, and when nobody looked for its own: none excuses
// then.
func (e *evaluation) vexUnknown(p Platform) string {
	if v := e.spec.Vulnerabilities; v == nil || v.VEX == nil {
		return ""
	}
	problem, troubled := e.problem(PartSignatures, p.Name)
	if troubled && problem.Reason == "" {
		return "the attestations could not be read"
	}
	return problem.Reason
}

// statementAbout returns what VEX says of a vulnerability in a platform, under any
// of its names. What excuses an advisory about several has to excuse each of them.
func (e *evaluation) statementAbout(p Platform, v stated) (says verdictOnVEX, said bool) {
	says, said = e.newestAbout(p, v, v.names())
	if !said || !says.excused {
		return says, said
	}
	for _, names := range v.facets() {
		newest, found := e.newestAbout(p, v, names)
		if !found || !newest.excused {
			return newest, found
		}
	}
	return says, true
}

// newestAbout returns what the newest VEX statement says of one of the names of a
// vulnerability. Of several as new as each other, all have to excuse it.
func (e *evaluation) newestAbout(p Platform, v stated, names []string) (newest verdictOnVEX, said bool) {
	for _, name := range names {
		for _, s := range e.vex[name] {
			if s.only != "" && s.only != p.Digest || !e.covers(s.Statement, p, v) {
				continue
			}
			if one, counts := s.verdict(e.now, e.spec.Vulnerabilities.VEX.MaxAge); counts && (!said || newest.giveWay(one)) {
				newest, said = one, true
			}
		}
	}
	return newest, said
}

// verdict is what a statement says at a moment. One that could excuse counts
// once it was made, when it says when that was; one that cannot, always, and as
// the last word when it does not say.
func (s vexStatement) verdict(now time.Time, limit Duration) (v verdictOnVEX, counts bool) {
	v = verdictOnVEX{by: s.by, status: s.Status, why: s.Why, at: s.Timestamp, rank: s.Timestamp, excused: s.Excuses()}
	latest := now.Add(maxSkew)
	switch harmless := s.Status == vex.Fixed || s.Status == vex.NotAffected; {
	case s.Timestamp.IsZero() && harmless, s.Timestamp.After(latest) && v.excused:
		return v, false
	case s.Timestamp.IsZero():
		v.rank = latest
	case v.excused && limit > 0 && now.Sub(s.Timestamp) > time.Duration(limit):
		v.excused, v.doubt = false, ", older than "+limit.String()+","
	case harmless && !v.excused:
		v.doubt = ", without a justification,"
	}
	return v, true
}

// giveWay says whether another statement counts instead: a newer one, and of
// two as new as each other the one that does not excuse.
func (v verdictOnVEX) giveWay(other verdictOnVEX) bool {
	switch {
	case !other.rank.Equal(v.rank):
		return other.rank.After(v.rank)
	case other.excused != v.excused:
		return v.excused
	}
	return other.String() < v.String()
}

// covers says whether a statement is about a package of a platform.
func (e *evaluation) covers(s vex.Statement, p Platform, v stated) bool {
	found := vex.Package{Type: v.Type, Name: v.Package, Version: v.Version}
	return s.Inherits || slices.ContainsFunc(s.Products, func(product vex.Product) bool {
		return product.Is(e.asProduct(p)) && (product.Covers(found) || !s.Excuses() && product.MayCover(found))
	})
}

// excuses says whether an exception or a VEX statement excuses a vulnerability.
func (e *evaluation) excuses(p Platform, v stated) bool {
	if by, _ := e.exception(v.Vulnerability); len(by) > 0 {
		for _, x := range by {
			e.use(x)
		}
		return true
	}
	statement, said := e.statementAbout(p, v)
	return said && statement.excused && e.vexUnknown(p) == ""
}
