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
	lists := known{
		sound: policy.Lists{Exceptions: map[string][]policy.Exception{}, Versions: map[string][]policy.Recommended{}},
		files: map[List]string{}, spoilt: map[List]bool{},
	}
	var set Set
	var errs []error
	docs := make([][]*strictyaml.Document, len(files))
	for i, f := range files {
		parsed, err := strictyaml.Parse(f.Name, f.Data)
		if err == nil && len(parsed) == 0 {
			err = &strictyaml.Error{File: f.Name, Line: 1, Column: 1, Message: "the file holds no policy and no list; write one, or remove it"}
		}
		lists.unread = lists.unread || err != nil
		errs = append(errs, err)
		for _, doc := range parsed {
			list, isList, err := lists.add(doc, f.Name)
			switch {
			case err != nil:
				errs = append(errs, err)
			case isList:
				set.Lists = append(set.Lists, list)
			default:
				docs[i] = append(docs[i], doc)
			}
		}
	}
	for i, f := range files {
		for _, doc := range docs[i] {
			compiled, err := compile(doc, f.Name, read, &lists)
			if errs = append(errs, err); compiled != nil {
				set.Policies = append(set.Policies, Policy{Compiled: compiled, File: f.Name})
			}
		}
	}
	return set, errors.Join(append(errs, checkNames(set.Policies))...)
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
		err := decode(doc, &l, func() error { return l.Check() })
		list, err := k.take(doc, policy.KindExceptionList, nameOf(doc), file, err)
		if err == nil {
			k.sound.Exceptions[list.Name] = l.Spec.Exceptions
		}
		return list, true, err
	case policy.KindVersionList:
		var l policy.VersionList
		err := decode(doc, &l, func() error { return l.Check() })
		list, err := k.take(doc, policy.KindVersionList, nameOf(doc), file, err)
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

func nameOf(doc *strictyaml.Document) string { return doc.Text("$.metadata.name") }

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
func (k *known) take(doc *strictyaml.Document, kind, name, file string, mistakes error) (List, error) {
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
