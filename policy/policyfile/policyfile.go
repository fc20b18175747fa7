// Package policyfile reads policies, and the lists that they name, from YAML
// files, strictly: every mistake is named with its file, line and column.
package policyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// ReadFile returns the content of a file that a policy names, or the public
// key, in PEM, that a key management system's URI names.
type ReadFile func(name string) ([]byte, error)

// Policy is a policy and where it was read.
type Policy struct {
	*policy.Compiled
	File string
	doc  *strictyaml.Document
}

// Warnings lists what is sound in the policy and yet hardly meant, each with its
// place.
func (p Policy) Warnings() []error {
	var all []error
	for _, w := range p.Compiled.Warnings() {
		all = append(all, p.doc.Errorf(w.Path, "%s", w.Message))
	}
	return all
}

// Parse reads every policy in one file, and the lists that these name. Key
// files are read through read, by their path relative to the policy file's
// folder. The error joins one error for each mistake.
func Parse(file string, data []byte, read ReadFile) ([]Policy, error) {
	return ParseAll([]File{{Name: file, Data: data}}, read)
}

func compile(doc *strictyaml.Document, file string, read ReadFile, lists *known) (*policy.Compiled, error) {
	var p policy.Policy
	if err := doc.Decode(&p); err != nil {
		return nil, err
	}
	k := keys{doc: doc, file: file, read: read}
	k.fill(&p)
	if len(k.errs) > 0 {
		return nil, errors.Join(k.errs...)
	}
	if lists.spoil(p) {
		return nil, nil //nolint:nilnil // the mistake is in the list, and told there
	}
	compiled, err := policy.CompileWith(p, lists.sound)
	if err != nil {
		return nil, locate(doc, err)
	}
	return compiled, nil
}

// locate turns the mistakes that Compile found into errors with a place.
func locate(doc *strictyaml.Document, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		if field, ok := errors.AsType[*policy.FieldError](e); ok {
			e = doc.Errorf(field.Path, "%s", field.Message)
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// File is what a policy file holds.
type File struct {
	Name string // as errors show it
	Data []byte
}

// Load reads every policy file (.yaml or .yml, but for those of tests) below a
// folder, in the order of their names. Two policies of one name are a mistake. A folder without any
// is sound; it promotes nothing. display is put in front of the names in
// errors.
func Load(fsys fs.FS, display string, read ReadFile) ([]Policy, error) {
	files, failed := Files(fsys, display)
	policies, err := ParseAll(files, read)
	return policies, errors.Join(failed, err)
}

// Files reads what Load parses: the error joins one for each file that cannot
// be read, and for each whose name says that it holds tests and that holds a
// policy or a list.
func Files(fsys fs.FS, display string) ([]File, error) {
	policies, err := files(fsys, display, func(name string) bool { return !isTestFile(name) })
	tests, testErr := files(fsys, display, isTestFile)
	errs := []error{err, testErr}
	for _, f := range tests {
		if isPolicy.Match(f.Data) {
			errs = append(errs, &strictyaml.Error{
				File: f.Name, Line: 1, Column: 1, Message: "the file holds a policy or a list, and its name says that it holds tests, which are not in force; rename it",
			})
		}
	}
	return policies, errors.Join(errs...)
}

// isPolicy finds a policy, or a list for them, in a file that is not parsed.
var isPolicy = regexp.MustCompile(`(?m)^\s*[{,]?\s*["']?kind["']?\s*:\s*["']?(` + policy.Kind + `|` + policy.KindExceptionList + `|` + policy.KindVersionList + `)\b`)

// TestFiles reads the files with tests of policies below a folder: those whose
// names end with _test.yaml or _test.yml.
func TestFiles(fsys fs.FS, display string) ([]File, error) {
	return files(fsys, display, isTestFile)
}

func isTestFile(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, path.Ext(name)), "_test")
}

func files(fsys fs.FS, display string, wanted func(name string) bool) ([]File, error) {
	names, err := list(fsys)
	if err != nil {
		return nil, fmt.Errorf("list the policies in %s: %w", display, err)
	}
	var files []File
	var errs []error
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		data, err := readLimited(fsys, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path.Join(display, name), err))
			continue
		}
		files = append(files, File{Name: path.Join(display, name), Data: data})
	}
	return files, errors.Join(errs...)
}

// ParseAll reads every policy in several files, as ParseSet does.
func ParseAll(files []File, read ReadFile) ([]Policy, error) {
	set, err := ParseSet(files, read)
	return set.Policies, err
}

// list names the YAML files below a folder.
func list(fsys fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && name != "." // Kubernetes mounts ..data beside the files
		switch {
		case hidden && entry.IsDir():
			return fs.SkipDir
		case !hidden && !entry.IsDir() && isYAML(name):
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// isYAML says whether a file may hold policies, or tests of them.
func isYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// readLimited reads one byte more than is allowed, so that Parse refuses what
// is too large.
func readLimited(fsys fs.FS, name string) (_ []byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
}
