package policyfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// List is a list that policies may name, and where it was read.
type List struct {
	Kind, Name string
	File       string
}

// Set is policies with the lists beside them, in the order of the files.
type Set struct {
	Policies []Policy
	Lists    []List // those that no policy names too
}

// ParseSet reads the policies in several files, each with the lists that it
// names, in whatever file these are. Two policies of one name are a mistake,
// and so are two lists of one kind and name. The error joins one error for each
// mistake; a policy that names a list with a mistake is left out.
func ParseSet(files []File, read ReadFile) (Set, error) {
	return ParseWith(files, policy.Lists{}, read)
}

// ParseWith reads as ParseSet does, with lists from elsewhere that count
// instead of those of the same name in the files.
func ParseWith(files []File, instead policy.Lists, read ReadFile) (Set, error) {
	var set Set
	lists := newKnown()
	rest, all, errs := lists.split(files)
	set.Lists = all
	lists.replace(instead)
	for i, f := range files {
		for _, doc := range rest[i] {
			compiled, err := compile(doc, f.Name, read, lists)
			if errs = append(errs, err); compiled != nil {
				set.Policies = append(set.Policies, Policy{Compiled: compiled, File: f.Name, doc: doc})
			}
		}
	}
	return set, errors.Join(append(errs, checkNames(set.Policies))...)
}

// ReadLists reads the lists in several files, and leaves policies alone.
func ReadLists(files []File) (policy.Lists, []List, error) {
	lists := newKnown()
	_, all, errs := lists.split(files)
	return lists.sound, all, errors.Join(errs...)
}

// known are the lists of a set. Those with a mistake are spoilt: nobody can say
// what a policy asks for that names one. Where a file cannot be read as YAML,
// any that is not known may be in it.
type known struct {
	sound  policy.Lists
	files  map[List]string // by kind and name
	spoilt map[List]bool
	unread bool
}

func newKnown() *known {
	return &known{
		sound: policy.Lists{Exceptions: map[string][]policy.Exception{}, Versions: map[string][]policy.Recommended{}},
		files: map[List]string{}, spoilt: map[List]bool{},
	}
}

// split takes the lists out of files. What is left, by file, are policies.
func (k *known) split(files []File) (rest [][]*strictyaml.Document, all []List, errs []error) {
	rest = make([][]*strictyaml.Document, len(files))
	for i, f := range files {
		docs, err := strictyaml.Parse(f.Name, f.Data)
		if err == nil && len(docs) == 0 {
			err = &strictyaml.Error{File: f.Name, Line: 1, Column: 1, Message: "the file holds no policy and no list; write one, or remove it"}
		}
		if err != nil {
			k.unread = true
			errs = append(errs, err)
			continue
		}
		for _, doc := range docs {
			list, isList, err := k.add(doc, f.Name)
			switch {
			case err != nil:
				errs = append(errs, err)
			case isList:
				all = append(all, list)
			default:
				rest[i] = append(rest[i], doc)
			}
		}
	}
	return rest, all, errs
}

// replace takes lists from elsewhere.
func (k *known) replace(lists policy.Lists) {
	for name, exceptions := range lists.Exceptions {
		k.sound.Exceptions[name] = exceptions
		k.files[List{Kind: policy.KindExceptionList, Name: name}] = "elsewhere"
	}
	for name, versions := range lists.Versions {
		k.sound.Versions[name] = versions
		k.files[List{Kind: policy.KindVersionList, Name: name}] = "elsewhere"
	}
}

// spoil says whether a policy names a list with a mistake.
func (k *known) spoil(p policy.Policy) bool {
	named := func(kind string, names []string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			list := List{Kind: kind, Name: name}
			_, sound := k.files[list]
			return k.spoilt[list] || !sound && k.unread
		})
	}
	v, versions := p.Spec.Vulnerabilities, p.Spec.PatchLevel.Versions
	return v != nil && named(policy.KindExceptionList, v.ExceptionLists) || versions != nil && named(policy.KindVersionList, versions.Lists)
}

// add takes a document that is a list. What is none is left to be a policy.
func (k *known) add(doc *strictyaml.Document, file string) (_ List, isList bool, err error) {
	switch kind := doc.Text("$.kind"); kind {
	case policy.KindExceptionList:
		var l policy.ExceptionList
		list, err := k.take(doc, kind, file, decode(doc, &l, func() error { return l.Check() }))
		if err == nil {
			k.sound.Exceptions[list.Name] = l.Spec.Exceptions
		}
		return list, true, err
	case policy.KindVersionList:
		var l policy.VersionList
		list, err := k.take(doc, kind, file, decode(doc, &l, func() error { return l.Check() }))
		if err == nil {
			k.sound.Versions[list.Name] = l.Spec.Packages
		}
		return list, true, err
	default:
		if strings.HasSuffix(kind, "List") {
			return List{}, true, doc.Errorf("$.kind", "%q; write %s or %s", kind, policy.KindExceptionList, policy.KindVersionList)
		}
	}
	return List{}, false, nil
}

func decode(doc *strictyaml.Document, into any, check func() error) error {
	if err := doc.Decode(into); err != nil {
		return err
	}
	if err := check(); err != nil {
		return locate(doc, err)
	}
	return nil
}

// take makes a list's name known, with its mistakes.
func (k *known) take(doc *strictyaml.Document, kind, file string, mistakes error) (List, error) {
	name := doc.Text("$.metadata.name")
	key := List{Kind: kind, Name: name}
	if other, twice := k.files[key]; twice && mistakes == nil {
		mistakes = doc.Errorf("$.metadata.name", "%q is also the name of a list of kind %s in %s; rename one of them", name, kind, other)
	}
	if mistakes != nil {
		k.spoilt[key] = true
		return List{}, mistakes
	}
	k.files[key] = file
	return List{Kind: kind, Name: name, File: file}, nil
}

// checkNames refuses two policies of one name.
func checkNames(all []Policy) error {
	files := map[string]string{}
	var errs []error
	for _, p := range all {
		if other, twice := files[p.Name()]; twice {
			errs = append(errs, &strictyaml.Error{
				File: p.File, Line: 1, Column: 1, Key: "metadata.name",
				Message: fmt.Sprintf("%q is also the name of a policy in %s; rename one of them", p.Name(), other),
			})
			continue
		}
		files[p.Name()] = p.File
	}
	return errors.Join(errs...)
}
