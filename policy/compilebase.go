package policy

import (
	"fmt"
	"strings"
)

// BaseRule says which golden images an image may be built on, proven by its layers.
type BaseRule struct {
	// Repositories are globs of golden repositories with the registry's name in
	// front: golden/base/**.
	Repositories []string `yaml:"repositories" json:"repositories"`
	// MaxBehind is how many newer releases of the base there may be; any number
	// when nil.
	MaxBehind *int `yaml:"maxBehind" json:"maxBehind,omitempty"`
	// MaxAge is how long ago the base may have become golden; any time when zero.
	MaxAge Duration `yaml:"maxAge" json:"maxAge,omitempty"`
}

// NeedsLineage says whether judging needs to know the golden images that an
// image's layers begin with.
func (c *Compiled) NeedsLineage() bool { return c.policy.Spec.PatchLevel.Base != nil }

func (b *builder) checkBase() {
	rule := b.c.policy.Spec.PatchLevel.Base
	if rule == nil {
		return
	}
	const path = "$.spec.patchLevel.base"
	if len(rule.Repositories) == 0 {
		b.errorf(path+".repositories", `missing; write globs of golden repositories, the registry's name in front, such as ["golden/base/**"]`)
	}
	b.checkGlobs(path+".repositories", rule.Repositories)
	for i, pattern := range rule.Repositories {
		if _, repository, _ := strings.Cut(pattern, "/"); repository == "" && pattern != "**" {
			b.errorf(fmt.Sprintf("%s.repositories[%d]", path, i), `%q names no repository of a registry; write the registry's name in front, such as "golden/base/**"`, pattern)
		}
	}
	if rule.MaxBehind != nil && *rule.MaxBehind < 0 {
		b.errorf(path+".maxBehind", "%d; write how many newer releases of the base there may be, 0 for none", *rule.MaxBehind)
	}
	if rule.MaxAge < 0 {
		b.errorf(path+".maxAge", "%s; write a positive duration", rule.MaxAge)
	}
}

// explain says in plain words what the rule asks for.
func (r BaseRule) explain() []string {
	lines := []string{"layers that begin with all of those of a golden image of " + patterns(r.Repositories)}
	if r.MaxBehind != nil && *r.MaxBehind == 0 {
		lines = append(lines, "the newest release of that base")
	} else if r.MaxBehind != nil {
		lines = append(lines, fmt.Sprintf("a release of that base that is at most %s behind the newest", releases(*r.MaxBehind)))
	}
	if r.MaxAge > 0 {
		lines = append(lines, "a release of that base that became golden within the last "+r.MaxAge.String())
	}
	return append(lines, "no label and no annotation that names another base than the layers do")
}
