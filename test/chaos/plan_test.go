package chaos_test

import (
	"fmt"
	"time"
)

// signing is what becomes of a push's signature.
type signing string

const (
	notAsked    signing = "not asked" // the repository's policy asks for none
	signedFirst signing = "before"    // signed by digest, then pushed under its tag
	signedLater signing = "after"
	neverSigned signing = "never"
)

// push is one push that a run makes.
type push struct {
	number     int
	repository string
	tag        string
	user       string // root is refused by the policy
	signing    signing
	signAfter  time.Duration // how long after the push, when it is signed later
}

// The kinds of repositories; each has its policy.
const (
	movingTags = "moving" // tags move, and a channel with them
	fixedTags  = "fixed"  // tags are immutable
	signedTags = "signed" // tags move, a signature is asked for
)

// passes says whether the policy says yes to a push, if nothing overtakes it.
func (p push) passes() bool { return p.user != "root" && p.signing != neverSigned }

// plan makes the pushes of a run, in their order. A third is refused; tags are
// pushed again and again, sometimes at once.
func plan(s settings) []push {
	d := newDice(s.seed, "plan")
	kinds := []string{movingTags, signedTags, movingTags, fixedTags, signedTags}
	fresh := map[string]int{} // versions so far of a repository with immutable tags
	pushes := make([]push, 0, s.pushes)
	for n := range s.pushes {
		i := d.below(s.repositories)
		p := push{number: n, repository: fmt.Sprintf("%s/app-%02d", kinds[i%len(kinds)], i), tag: []string{"main", "dev"}[d.below(2)]}
		if n > 0 && d.chance(0.15) { // right behind another push of the same tag
			p.repository, p.tag = pushes[n-1].repository, pushes[n-1].tag
		} else if kindOf(p.repository) == fixedTags {
			if fresh[p.repository] == 0 || !d.chance(0.1) { // else a version again, which conflicts
				fresh[p.repository]++
			}
			p.tag = fmt.Sprintf("v%d", fresh[p.repository])
		}
		p.user, p.signing, p.signAfter = fate(s, d, kindOf(p.repository))
		pushes = append(pushes, p)
	}
	return pushes
}

// fate decides what the policy will say.
func fate(s settings, d *dice, kind string) (user string, signed signing, after time.Duration) {
	user, signed = "app", notAsked
	if kind != signedTags {
		if d.chance(0.35) {
			user = "root"
		}
		return user, signed, 0
	}
	switch d.below(10) {
	case 0:
		user, signed = "root", signedFirst
	case 1, 2:
		signed = neverSigned
	case 3, 4, 5:
		signed = signedFirst
	default:
		signed, after = signedLater, d.between(100*time.Millisecond, s.wait/2)
	}
	return user, signed, after
}

func kindOf(repository string) string {
	for i := range repository {
		if repository[i] == '/' {
			return repository[:i]
		}
	}
	return repository
}
