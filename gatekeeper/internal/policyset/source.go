package policyset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// Source is where policies are read.
type Source struct {
	Location string // a policy file, or a folder of them
	// KMS asks a key management service for a public key, in PEM.
	KMS func(ctx context.Context, uri string) ([]byte, error)
	// Lists from elsewhere count instead of those of the same name there.
	Lists policy.Lists
	// Check refuses policies that name what the configuration does not have.
	// It may be nil.
	Check func([]policyfile.Policy) error
}

// Read reads the policies once.
func (s Source) Read(ctx context.Context) ([]policyfile.Policy, error) {
	set, err := s.ReadSet(ctx)
	return set.Policies, err
}

// ReadSet reads the policies once, with all lists that are beside them.
func (s Source) ReadSet(ctx context.Context) (policyfile.Set, error) {
	a := s.load(ctx, s.look(nil))
	return policyfile.Set{Policies: a.policies, Lists: a.lists}, a.err
}

// ReadLists reads the lists alone.
func (s Source) ReadLists() (policy.Lists, []policyfile.List, error) {
	files, err := s.files()
	if err != nil {
		return policy.Lists{}, nil, err
	}
	return policyfile.ReadLists(files)
}

// look is what the files hold at a moment.
type look struct {
	files []policyfile.File
	err   error
	// sums has every file that was read, keys included: the hash of what it
	// holds, or why it cannot be read.
	sums map[string]string
}

// look reads the policy files, and the key files that are known.
func (s Source) look(keyFiles []string) look {
	l := look{sums: map[string]string{}}
	l.files, l.err = s.files()
	for _, f := range l.files {
		l.sums[f.Name] = sum(f.Data, nil)
	}
	if l.err != nil {
		l.sums[s.Location] = sum(nil, l.err)
	}
	for _, name := range keyFiles {
		l.sums[name] = sum(readFile(name))
	}
	return l
}

func (s Source) files() ([]policyfile.File, error) {
	info, err := os.Stat(s.Location)
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	if info.IsDir() {
		return policyfile.Files(os.DirFS(s.Location), s.Location)
	}
	data, err := readFile(s.Location)
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	return []policyfile.File{{Name: s.Location, Data: data}}, nil
}

func sum(data []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// attempt is what came of making policies of what was seen.
type attempt struct {
	policies []policyfile.Policy
	lists    []policyfile.List
	err      error
	sums     map[string]string // of exactly what was read, see look
	keyFiles []string
	asked    bool // a key management service
}

// load makes policies of what was seen. The keys that they name are read now.
func (s Source) load(ctx context.Context, l look) attempt {
	a := attempt{sums: map[string]string{}}
	keyFiles := map[string]string{}
	set, err := policyfile.ParseWith(l.files, s.Lists, func(name string) ([]byte, error) {
		if keys.IsKMS(name) {
			a.asked = true
			return s.KMS(ctx, name)
		}
		data, err := readFile(name)
		keyFiles[name] = sum(data, err)
		return data, err
	})
	a.policies, a.lists = set.Policies, set.Lists
	if a.err = errors.Join(l.err, err); a.err == nil && s.Check != nil {
		a.err = s.Check(a.policies)
	}
	for _, f := range l.files {
		a.sums[f.Name] = l.sums[f.Name]
	}
	if l.err != nil {
		a.sums[s.Location] = l.sums[s.Location]
	}
	maps.Copy(a.sums, keyFiles)
	a.keyFiles = slices.Sorted(maps.Keys(keyFiles))
	return a
}

// readFile reads a policy or a key, and one byte more than is allowed of what
// is too large, so that the reader refuses it.
func readFile(name string) (_ []byte, err error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
}
