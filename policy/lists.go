package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The kinds of documents that policies refer to by name. A list that no policy
// names has no effect.
const (
	KindExceptionList = "ExceptionList"
	KindVersionList   = "VersionList"
)

// ExceptionList is exceptions in a file of their own, for those who grant them
// and do not write policies.
type ExceptionList struct {
	APIVersion string            `yaml:"apiVersion" json:"apiVersion"`
	Kind       string            `yaml:"kind" json:"kind"`
	Metadata   Metadata          `yaml:"metadata" json:"metadata"`
	Spec       ExceptionListSpec `yaml:"spec" json:"spec"`
}

// ExceptionListSpec is what an ExceptionList says. It may be empty.
type ExceptionListSpec struct {
	Exceptions []Exception `yaml:"exceptions" json:"exceptions"`
}

// VersionList is the versions of dependencies that a team recommends.
type VersionList struct {
	APIVersion string          `yaml:"apiVersion" json:"apiVersion"`
	Kind       string          `yaml:"kind" json:"kind"`
	Metadata   Metadata        `yaml:"metadata" json:"metadata"`
	Spec       VersionListSpec `yaml:"spec" json:"spec"`
}

// VersionListSpec is what a VersionList says.
type VersionListSpec struct {
	Packages []Recommended `yaml:"packages" json:"packages"`
}

// Recommended asks that a package, where it is installed, has one of some
// versions.
type Recommended struct {
	Type     string `yaml:"type" json:"type"` // package URL type
	Name     string `yaml:"name" json:"name"`
	Versions string `yaml:"versions" json:"versions"`       // ">= 4.21.2, < 5": a comma for and, || for or
	Since    Start  `yaml:"since" json:"since,omitzero"`    // until then other versions are only pointed out
	Reason   string `yaml:"reason" json:"reason,omitempty"` // for developers
}

// Versions asks for the versions that lists recommend.
type Versions struct {
	Lists []string `yaml:"lists" json:"lists"` // names of VersionLists
	// DenyUnlisted are package URL types of which nothing may be installed
	// that none of the lists has.
	DenyUnlisted []string `yaml:"denyUnlisted" json:"denyUnlisted,omitempty"`
}

// Start is a moment that people write as a day, meaning its beginning in UTC,
// or in RFC 3339.
type Start struct{ time.Time }

// UnmarshalYAML reads the text whatever escapes it is written with, which
// UnmarshalText is given as they are.
func (s *Start) UnmarshalYAML(decode func(any) error) error { return unmarshalText(decode, s) }

// UnmarshalText reads 2026-10-01 or 2026-10-01T08:00:00Z.
func (s *Start) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			s.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is no date; write 2026-10-01", text)
}

// Lists are lists by their names.
type Lists struct {
	Exceptions map[string][]Exception   `json:"exceptions,omitempty"`
	Versions   map[string][]Recommended `json:"versions,omitempty"`
}

// Check finds the mistakes in a list. The error joins a *FieldError for each.
func (l ExceptionList) Check() error {
	b := &builder{}
	b.checkListHead(l.APIVersion, l.Kind, KindExceptionList, l.Metadata)
	b.checkExceptions("$.spec.exceptions", l.Spec.Exceptions)
	return errors.Join(b.errs...)
}

// Check finds the mistakes in a list. The error joins a *FieldError for each.
func (l VersionList) Check() error {
	b := &builder{}
	b.checkListHead(l.APIVersion, l.Kind, KindVersionList, l.Metadata)
	if len(l.Spec.Packages) == 0 {
		b.errorf("$.spec.packages", "missing; write at least one {type: npm, name: express, versions: \">= 4.21.2, < 5\"}")
	}
	for i, r := range l.Spec.Packages {
		path := fmt.Sprintf("$.spec.packages[%d]", i)
		b.require(path+".name", r.Name, "the package's name")
		if _, ok := versionOrders()[r.Type]; !ok {
			b.errorf(path+".type", "versions of type %q cannot be ordered; write one of %s", r.Type,
				strings.Join(slices.Sorted(maps.Keys(versionOrders())), ", "))
			continue
		}
		if _, err := parseVersionRange(r.Type, r.Versions); err != nil {
			b.errorf(path+".versions", "%v", err)
		}
	}
	return errors.Join(b.errs...)
}

func (b *builder) checkListHead(version, kind, want string, m Metadata) {
	if version != APIVersion {
		b.errorf("$.apiVersion", "%q; write %s", version, APIVersion)
	}
	if kind != want {
		b.errorf("$.kind", "%q; write %s", kind, want)
	}
	b.checkName(m.Name)
}

func (b *builder) checkName(name string) {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`).MatchString(name) {
		b.errorf("$.metadata.name", "%q; write a name of lower-case letters, digits, dots and dashes, at most 63 long", name)
	}
}

// resolveLists keeps of the lists that are known those that the policy names. A
// name that nobody knows is a mistake: without it the policy would be another.
func (b *builder) resolveLists(known Lists) {
	spec := b.c.policy.Spec
	if v := spec.Vulnerabilities; v != nil {
		b.c.lists.Exceptions = take(b, "$.spec.vulnerabilities.exceptionLists", v.ExceptionLists, KindExceptionList, known.Exceptions)
	}
	if v := spec.PatchLevel.Versions; v != nil {
		b.c.lists.Versions = take(b, "$.spec.patchLevel.versions.lists", v.Lists, KindVersionList, known.Versions)
		b.compileVersions(*v)
	}
	b.c.exceptions = granted(spec.Vulnerabilities, b.c.lists.Exceptions)
}

// take finds lists by their names.
func take[T any](b *builder, path string, names []string, kind string, known map[string][]T) map[string][]T {
	if len(names) == 0 {
		return nil
	}
	taken := map[string][]T{}
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", path, i)
		list, ok := known[name]
		_, twice := taken[name]
		switch {
		case twice:
			b.errorf(at, "%q is there twice", name)
		case !ok && len(known) == 0:
			b.errorf(at, "no %s is named %q, and there is none of any name; write one into a file beside the policy", kind, name)
		case !ok:
			b.errorf(at, "no %s is named %q; known here: %s", kind, name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		taken[name] = list
	}
	return taken
}

// Lists are the names of the lists that the policy names, by kind.
func (c *Compiled) Lists() (exceptions, versions []string) {
	return slices.Sorted(maps.Keys(c.lists.Exceptions)), slices.Sorted(maps.Keys(c.lists.Versions))
}
