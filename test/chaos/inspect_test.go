package chaos_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// past is a small world to tell stories in: of one repository with moving tags
// and one with signatures.
type past struct{ world }

func newPast() *past {
	p := &past{world{acknowledged: func(string) bool { return false }, golden: map[string]*goldenRepository{}, wait: time.Minute}}
	p.remembered = map[string]map[string]string{}
	return p
}

// pushed adds a push to a repository's tag main; each letter is an image.
func (p *past) pushed(repository, letter, user string) *past {
	p.made = append(p.made, made{
		push:   push{number: len(p.made), repository: repository, tag: "main", user: user, signing: notAsked},
		digest: digestOf(letter),
	})
	return p
}

// decided adds a decision about an image in a record.
func (p *past) decided(record int64, repository, letter, verdict string) *past {
	var d decision
	d.ID = int64(len(p.decisions) + 1)
	d.Push.ID, d.Push.Repository, d.Push.Tag, d.Push.Digest, d.Verdict = record, repository, "main", digestOf(letter), verdict
	p.decisions = append(p.decisions, d)
	return p
}

// tagged has a golden tag, and the gatekeeper's memory of it, be an image.
func (p *past) tagged(repository, tag, letter string) *past {
	g := p.golden[repository]
	if g == nil {
		g = &goldenRepository{tags: map[string]string{}, tagged: map[string][]string{}, subjects: map[string]string{}}
		p.golden[repository], p.remembered[repository] = g, map[string]string{}
	}
	g.tags[tag], p.remembered[repository][tag] = digestOf(letter), digestOf(letter)
	g.manifests = append(g.manifests, digestOf(letter))
	g.tagged[digestOf(letter)] = append(g.tagged[digestOf(letter)], tag)
	return p
}

func digestOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// What the chaos test counts is counted.
func TestInspect(t *testing.T) {
	const moving, signed, fixed = "moving/app", "signed/app", "fixed/app"
	good := func() *past {
		return newPast().pushed(signed, "a", "app").decided(1, signed, "a", "pending").decided(1, signed, "a", "promoted").
			pushed(signed, "b", "root").decided(2, signed, "b", "rejected").tagged(signed, "main", "a")
	}
	for _, tt := range []struct {
		name string
		past *past
		want string // how the one problem begins; empty: none
	}{
		{"all is well", good(), ""},
		{"the newest push is not known", good().pushed(signed, "c", "app"), "lost: push 2"},
		{"an older push is not known", newPast().pushed(signed, "c", "root").pushed(signed, "b", "root").decided(2, signed, "b", "rejected"), ""},
		{"an acknowledged push is not known", func() *past {
			p := newPast().pushed(signed, "c", "root").pushed(signed, "b", "root").decided(2, signed, "b", "rejected")
			p.acknowledged = func(digest string) bool { return digest == digestOf("c") }
			return p
		}(), "lost: push 0"},
		{"a push waits", newPast().pushed(signed, "c", "app").decided(1, signed, "c", "pending"), "without a final verdict: push 0"},
		{"the queue is not empty", func() *past { p := good(); p.open = map[string]int{"judging": 1}; return p }(), "without a final verdict: in the queue are map[judging:1]"},
		{"refused twice", good().decided(2, signed, "b", "rejected"), "duplicate: push 1"},
		{"refused in two records", good().decided(3, signed, "b", "rejected"), "duplicate: push 1"},
		{"refused, and superseded in another record", good().decided(3, signed, "b", "superseded"), ""},
		{"promoted against the policy", newPast().pushed(signed, "c", "root").decided(1, signed, "c", "promoted").tagged(signed, "main", "c"), "wrong: push 0"},
		{"refused against the policy", newPast().pushed(signed, "c", "app").decided(1, signed, "c", "rejected"), "wrong: push 0"},
		{"superseded by nothing", newPast().pushed(signed, "c", "app").decided(1, signed, "c", "superseded"), "wrong: push 0"},
		{"superseded by a newer push", newPast().pushed(signed, "c", "app").decided(1, signed, "c", "superseded").
			pushed(signed, "d", "app").decided(2, signed, "d", "promoted").tagged(signed, "main", "d"), ""},
		{"the golden tag is an older push", newPast().pushed(signed, "c", "app").decided(1, signed, "c", "promoted").
			pushed(signed, "d", "app").decided(2, signed, "d", "promoted").tagged(signed, "main", "c"), "wrong: golden signed/app:main is sha256:cccccccc, and the newest"},
		{"the golden tag is gone", func() *past { p := good(); p.golden[signed].tags, p.remembered = nil, nil; return p }(), "wrong: golden signed/app:main is nothing"},
		{"the golden tag is not on record", func() *past { p := good(); delete(p.remembered[signed], "main"); return p }(), "wrong: golden signed/app:main is sha256:aaaaaaaa, the history"},
		{"an unknown manifest", func() *past { p := good(); p.golden[signed].manifests = []string{digestOf("e")}; return p }(), "wrong: golden signed/app holds"},
		{"the signature of an approved image", good().tagged(signed, signatureTag(digestOf("a")), "e"), ""},
		{"the signature of a refused image", good().tagged(signed, signatureTag(digestOf("b")), "e"), "wrong: golden signed/app holds"},
		{"an approved image's signature that has no tag", func() *past {
			p := good()
			p.made[0].signature = digestOf("e")
			p.golden[signed].manifests = append(p.golden[signed].manifests, digestOf("e"))
			return p
		}(), ""},
		{"a refused image's signature that has no tag", func() *past {
			p := good()
			p.made[1].signature = digestOf("e")
			p.golden[signed].manifests = append(p.golden[signed].manifests, digestOf("e"))
			return p
		}(), "wrong: golden signed/app holds"},
		{"what refers to an approved image", func() *past {
			p := good()
			p.golden[signed].manifests = append(p.golden[signed].manifests, digestOf("e"))
			p.golden[signed].subjects[digestOf("e")] = digestOf("a")
			return p
		}(), ""},
		{"an immutable tag that moved", newPast().pushed(fixed, "c", "app").decided(1, fixed, "c", "promoted").
			pushed(fixed, "d", "app").decided(2, fixed, "d", "promoted").tagged(fixed, "main", "d").withManifest(fixed, "c"), "wrong: golden fixed/app:main is immutable"},
		{"a channel", newPast().pushed(moving, "c", "app").decided(1, moving, "c", "promoted").tagged(moving, "main", "c").tagged(moving, "stable", "c"), ""},
		{"a channel that did not move", newPast().pushed(moving, "c", "app").decided(1, moving, "c", "promoted").
			pushed(moving, "d", "app").decided(2, moving, "d", "promoted").tagged(moving, "main", "d").tagged(moving, "stable", "c"), "wrong: golden moving/app:stable is sha256:cccccccc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := inspect(tt.past.world).problems()
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("found %q, want nothing", got)
			case tt.want != "" && !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, tt.want) }):
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// withManifest leaves an image in golden without a tag.
func (p *past) withManifest(repository, letter string) *past {
	p.golden[repository].manifests = append(p.golden[repository].manifests, digestOf(letter))
	return p
}

func TestRecoveries(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	var early, late decision
	early.DecidedAt, late.DecidedAt = at(5), at(12)
	got := recoveries([]fault{{name: faultKill, at: at(10)}, {name: faultGolden, at: at(1)}, {name: faultKill, at: at(20)}}, []decision{late, early})
	if !slices.Equal(got, []time.Duration{2 * time.Second}) {
		t.Errorf("recoveries are %v, want one of 2s", got)
	}
}
