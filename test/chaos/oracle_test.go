package chaos_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// world is what is left when everything has come to rest.
type world struct {
	made         []made     // in the order in which they were made, within a repository
	decisions    []decision // the oldest first
	golden       map[string]*goldenRepository
	remembered   map[string]map[string]string // the golden tags of each repository, by the gatekeeper's own history
	acknowledged func(digest string) bool     // whether a gatekeeper answered 202 for a push
	open         map[string]int               // pushes without a final verdict, by state
	wait         time.Duration
}

// audit is what is wrong with a world, in words, and what is worth counting.
type audit struct {
	lost       []string // pushes without a record
	undecided  []string // pushes without a final verdict
	duplicates []string // pushes with more than one
	wrong      []string // a verdict, tag, or manifest that must not be

	unseen   int            // pushes that the tag had moved on from before anybody was told
	verdicts map[string]int // final ones, of pushes
}

// healed says whether nothing is wrong that time can mend.
func (a *audit) healed() bool { return len(a.lost)+len(a.undecided)+len(a.wrong) == 0 }

// problems lists everything that is wrong, by its kind.
func (a *audit) problems() []string {
	var all []string
	for _, list := range []struct {
		kind  string
		found []string
	}{{"lost", a.lost}, {"without a final verdict", a.undecided}, {"duplicate", a.duplicates}, {"wrong", a.wrong}} {
		slices.Sort(list.found)
		for _, line := range list.found {
			all = append(all, list.kind+": "+line)
		}
	}
	return all
}

func add(list *[]string, format string, args ...any) {
	*list = append(*list, fmt.Sprintf(format, args...))
}

// reference is a tag of a repository.
type reference struct{ repository, tag string }

func (r reference) String() string { return r.repository + ":" + r.tag }

// auditor goes through a world.
type auditor struct {
	world
	audit

	records    map[string][]record         // by digest; every push has its own
	approved   map[string]map[string]bool  // repository and digest of every yes
	pushed     map[reference][]made        // in order
	promoted   map[reference][]made        // those with the final verdict
	ids        map[string]map[string]int64 // of the promotions of each repository: the greatest push ID by digest
	signatures map[string]string           // what each signature is of
}

// record is one push in the gatekeeper's journal.
type record struct {
	id        int64
	decisions []decision
}

func (r record) last() decision { return r.decisions[len(r.decisions)-1] }

// inspect looks for everything that must not be.
func inspect(w world) *audit {
	a := &auditor{
		world: w, audit: audit{verdicts: map[string]int{}}, records: map[string][]record{}, approved: map[string]map[string]bool{},
		pushed: map[reference][]made{}, promoted: map[reference][]made{}, ids: map[string]map[string]int64{},
		signatures: map[string]string{},
	}
	a.sort()
	for ref, pushes := range a.pushed {
		for i, m := range pushes {
			a.push(ref, m, i == len(pushes)-1)
		}
		a.tag(ref)
	}
	for repository, g := range a.golden {
		a.repository(repository, g)
	}
	if len(a.open) > 0 {
		add(&a.undecided, "in the queue are %v", a.open)
	}
	return &a.audit
}

// sort puts pushes and decisions where they are looked for.
func (a *auditor) sort() {
	for _, m := range a.made {
		ref := reference{m.repository, m.tag}
		a.pushed[ref] = append(a.pushed[ref], m)
		a.signatures[m.signature] = m.digest
	}
	at := map[int64]int{} // index in records of the digest
	for _, d := range a.decisions {
		list := a.records[d.Push.Digest]
		i, ok := at[d.Push.ID]
		if !ok {
			i = len(list)
			at[d.Push.ID] = i
			list = append(list, record{id: d.Push.ID})
		}
		list[i].decisions = append(list[i].decisions, d)
		a.records[d.Push.Digest] = list
		if d.Verdict == "promoted" {
			if a.approved[d.Push.Repository] == nil {
				a.approved[d.Push.Repository], a.ids[d.Push.Repository] = map[string]bool{}, map[string]int64{}
			}
			a.approved[d.Push.Repository][d.Push.Digest] = true
			a.ids[d.Push.Repository][d.Push.Digest] = d.Push.ID
		}
	}
}

// push checks what became of one push.
func (a *auditor) push(ref reference, m made, newest bool) {
	records := a.records[m.digest]
	name := fmt.Sprintf("push %d, %s@%s", m.number, ref, short(m.digest))
	if len(records) == 0 {
		if newest || a.acknowledged(m.digest) {
			add(&a.lost, "%s: no record", name)
			return
		}
		a.unseen++
		return
	}
	effects := 0
	for _, r := range records {
		a.record(name, r)
		if v := r.last().Verdict; v == "promoted" || v == "rejected" {
			effects++
		}
	}
	if effects > max(m.attempts, 1) {
		add(&a.duplicates, "%s, sent %d times: %d records with a verdict: %s", name, m.attempts, effects, story(records))
	}
	verdict, why := verdictOf(records)
	a.verdicts[verdict]++
	if verdict == "promoted" {
		a.promoted[ref] = append(a.promoted[ref], m)
	}
	if problem := a.misjudged(m, verdict, why, newest); problem != "" {
		add(&a.wrong, "%s: %s: %s", name, problem, story(records))
	}
}

// record checks that a push in the journal has one final verdict. A refusal is
// one more when another reason for it was found since, in new evidence.
func (a *auditor) record(name string, r record) {
	promotions := 0
	for i, d := range r.decisions {
		if d.Verdict == "promoted" {
			promotions++
		}
		if i > 0 && final(d.Verdict) && d.Verdict == r.decisions[i-1].Verdict && slices.Equal(d.findings(), r.decisions[i-1].findings()) {
			add(&a.duplicates, "%s: %s twice in a row: %s", name, d.Verdict, story([]record{r}))
		}
	}
	if promotions > 1 {
		add(&a.duplicates, "%s: promoted %d times: %s", name, promotions, story([]record{r}))
	}
	if !final(r.last().Verdict) {
		add(&a.undecided, "%s: %s", name, story([]record{r}))
	}
}

// verdictOf is what all records of a push together say of it. Where they are
// several, some are superseded by another.
func verdictOf(records []record) (verdict, reason string) {
	for _, r := range records {
		d := r.last()
		if verdict == "" || verdict == "superseded" || d.Verdict == "promoted" {
			verdict, reason = d.Verdict, d.Note
			for _, f := range d.Findings {
				reason = f.Reason
			}
		}
	}
	return verdict, reason
}

// misjudged says what is wrong with a verdict; nothing when it is right.
func (a *auditor) misjudged(m made, verdict, reason string, newest bool) string {
	late := m.signing == signedLater && m.signed.Sub(m.at) > a.wait
	switch {
	case verdict == "promoted" && !m.passes():
		return "promoted against the policy"
	case verdict == "superseded" && newest:
		return "superseded by nothing"
	case verdict == "rejected" && m.passes() && !late && (kindOf(m.repository) != fixedTags || reason != "conflict"):
		return "refused, though the policy says yes"
	}
	return ""
}

// tag checks that a golden tag is the newest push that passed, and that it is
// what the gatekeeper remembers.
func (a *auditor) tag(ref reference) {
	passed, have := a.promoted[ref], ""
	if g := a.golden[ref.repository]; g != nil {
		have = g.tags[ref.tag]
	}
	if remembered := a.remembered[ref.repository][ref.tag]; remembered != have {
		add(&a.wrong, "golden %s is %s, the history says %s", ref, short(have), short(remembered))
	}
	switch {
	case len(passed) == 0 && have != "":
		add(&a.wrong, "golden %s is %s, though no push of it passed: %s", ref, short(have), story(a.records[have]))
	case len(passed) > 0 && have != passed[len(passed)-1].digest:
		add(&a.wrong, "golden %s is %s, and the newest push that passed is %s", ref, short(have), short(passed[len(passed)-1].digest))
	case len(passed) > 1 && kindOf(ref.repository) == fixedTags:
		add(&a.wrong, "golden %s is immutable, and %d pushes of it passed", ref, len(passed))
	}
}

// repository checks that a golden repository holds nothing but what was
// approved, and what belongs to that.
func (a *auditor) repository(repository string, g *goldenRepository) {
	approved := a.approved[repository]
	for _, digest := range g.manifests {
		ok := approved[digest] || approved[g.subjects[digest]]
		// A registry that is killed may have a signature without its tag.
		ok = ok || approved[a.signatures[digest]]
		for _, tag := range g.tagged[digest] {
			ok = ok || approved[subjectTag(tag)]
		}
		if !ok {
			add(&a.wrong, "golden %s holds %s, which nobody approved (tags %v)", repository, digest, g.tagged[digest])
		}
	}
	for tag, digest := range g.tags {
		if tag != "stable" && subjectTag(tag) == "" && a.pushed[reference{repository, tag}] == nil {
			add(&a.wrong, "golden %s:%s is %s, and nobody pushed that tag", repository, tag, digest)
		}
	}
	if kindOf(repository) == movingTags {
		a.channel(repository, g.tags["stable"])
	}
}

// channel checks that a channel is the promotion of the newest push in the
// journal's order: between two tags, there is no other.
func (a *auditor) channel(repository, have string) {
	var newest int64
	want := ""
	for digest, id := range a.ids[repository] {
		if last := a.records[digest]; id > newest && slices.ContainsFunc(last, func(r record) bool { return r.id == id && r.last().Verdict == "promoted" }) {
			newest, want = id, digest
		}
	}
	if have != want {
		add(&a.wrong, "golden %s:stable is %s, want %s of push %d", repository, short(have), short(want), newest)
	}
}

// subjectTag is the digest that a tag of signatures or referrers belongs to.
func subjectTag(tag string) string {
	hex, ok := strings.CutPrefix(tag, "sha256-")
	if !ok {
		return ""
	}
	hex, _, _ = strings.Cut(hex, ".")
	return "sha256:" + hex
}

func final(verdict string) bool {
	return verdict == "promoted" || verdict == "rejected" || verdict == "superseded"
}

// short is enough of a digest to recognise it.
func short(digest string) string {
	if digest == "" {
		return "nothing"
	}
	return digest[:min(len(digest), 15)]
}

// story tells what was decided about a push.
func story(records []record) string {
	var parts []string
	for _, r := range records {
		var verdicts []string
		for _, d := range r.decisions {
			text := fmt.Sprintf("%s %s", d.DecidedAt.Format("05.000"), d.Verdict)
			if d.Verdict == "rejected" {
				text += fmt.Sprintf(" %v", d.findings())
			}
			if d.Note != "" {
				text += " (" + d.Note + ")"
			}
			verdicts = append(verdicts, text)
		}
		parts = append(parts, fmt.Sprintf("#%d received %s: %s", r.id, r.decisions[0].Push.ReceivedAt.Format("05.000"), strings.Join(verdicts, ", ")))
	}
	return strings.Join(parts, "; ")
}
