package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
	"github.com/golden-gatekeeper/gatekeeper/policy/policytest"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// outputJUnit is the format that CI systems read.
const outputJUnit = "junit"

// watchInterval is how often files are looked at for changes.
const watchInterval = 300 * time.Millisecond

// PolicyTestOptions are the arguments of policy test.
type PolicyTestOptions struct {
	Locations []string // folders, and test files
	Policies  string   // folder or file of the policies that are tested; empty: beside the tests
	Output    string   // text, json or junit
	Run       string   // a part of the names of cases; empty: all
	Watch     bool     // run again whenever a file changes, until the context ends
}

// TestPolicies runs the tests of policies.
func TestPolicies(ctx context.Context, o PolicyTestOptions, streams Streams) error {
	if o.Output != outputJUnit {
		if err := checkOutput(o.Output); err != nil {
			return status(StatusUsage, fmt.Errorf("unknown output format %q: use text, json or junit", o.Output))
		}
	}
	if !o.Watch {
		return testPolicies(ctx, o, streams)
	}
	for {
		before := o.sums()
		if err := testPolicies(ctx, o, streams); err != nil {
			if failed, ok := errors.AsType[*StatusError](err); !ok || failed.Err != nil {
				if _, err := fmt.Fprintln(streams.Err, "gatekeeper:", err); err != nil {
					return err
				}
			}
		}
		if !awaitChange(ctx, func() bool { return o.sums() != before }) {
			return nil
		}
		if _, err := fmt.Fprintln(streams.Out); err != nil {
			return err
		}
	}
}

// awaitChange waits until something changed; false when ctx ends before.
func awaitChange(ctx context.Context, changed func() bool) bool {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if changed() {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

func testPolicies(ctx context.Context, o PolicyTestOptions, streams Streams) error {
	var results []policytest.Result
	var errs []error
	for _, location := range o.Locations {
		r, err := o.test(ctx, location)
		results, errs = append(results, r...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return status(StatusUsage, err)
	}
	if len(results) == 0 && o.Run != "" {
		return status(StatusUsage, fmt.Errorf("no case has %q in its name", o.Run))
	}
	if len(results) == 0 {
		return status(StatusUsage, fmt.Errorf("no tests in %s: write some into files whose names end with _test.yaml", strings.Join(o.Locations, ", ")))
	}
	failed := 0
	for _, r := range results {
		if !r.Passed() {
			failed++
		}
	}
	if err := printTests(o.Output, results, failed, streams.Out); err != nil {
		return err
	}
	if failed > 0 {
		return status(StatusRejected, nil)
	}
	return nil
}

// test runs the tests of a folder or of one file.
func (o PolicyTestOptions) test(ctx context.Context, location string) ([]policytest.Result, error) {
	info, err := os.Stat(location)
	if err != nil {
		return nil, fmt.Errorf("read the tests: %w", err)
	}
	beside := location
	var files []policyfile.File
	if info.IsDir() {
		files, err = policyfile.TestFiles(os.DirFS(location), location)
	} else {
		beside = filepath.Dir(location)
		var data []byte
		data, err = readTests(location)
		files = []policyfile.File{{Name: location, Data: data}}
	}
	if err != nil {
		return nil, fmt.Errorf("read the tests: %w", err)
	}
	if o.Policies != "" {
		beside = o.Policies
	}
	var l linted
	if err := l.readPolicies(ctx, beside); err != nil {
		return nil, err
	}
	var results []policytest.Result
	var errs []error
	for _, f := range files {
		r, err := o.testFile(f, l.policies)
		results, errs = append(results, r...), append(errs, err)
	}
	return results, errors.Join(errs...)
}

// readTests reads one byte more than is allowed, so that too much is refused.
func readTests(file string) (_ []byte, err error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
}

func (o PolicyTestOptions) testFile(f policyfile.File, policies []policyfile.Policy) ([]policytest.Result, error) {
	suites, err := policytest.Parse(f.Name, f.Data)
	errs := []error{err}
	var results []policytest.Result
	for _, s := range suites {
		i := slices.IndexFunc(policies, func(p policyfile.Policy) bool { return p.Name() == s.Policy })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s: there is no policy %q beside it; name its folder with --policies", f.Name, s.Policy))
			continue
		}
		r, err := s.Run(policies[i].Compiled)
		r = slices.DeleteFunc(r, func(r policytest.Result) bool { return !strings.Contains(r.Case, o.Run) })
		results, errs = append(results, r...), append(errs, err)
	}
	return results, errors.Join(errs...)
}

// sums is a hash of every file that a run may read.
func (o PolicyTestOptions) sums() string {
	h := sha256.New()
	for _, location := range append(slices.Clone(o.Locations), o.Policies) {
		if location == "" {
			continue
		}
		if info, err := os.Stat(location); err == nil && !info.IsDir() {
			location = filepath.Dir(location)
		}
		fsys := os.DirFS(location)
		_ = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error { // what cannot be read shows when it is tested
			if err != nil || entry.IsDir() {
				return nil //nolint:nilerr // see above
			}
			info, err := entry.Info()
			if err != nil {
				return nil //nolint:nilerr // see above
			}
			_, err = fmt.Fprintln(h, location, name, info.Size(), info.ModTime().UnixNano())
			return err
		})
	}
	return string(h.Sum(nil))
}

func printTests(output string, results []policytest.Result, failed int, w io.Writer) error {
	switch output {
	case outputJUnit:
		return policytest.WriteJUnit(w, results)
	case outputJSON:
		return printJSON(w, struct {
			Tests    int                 `json:"tests"`
			Failures int                 `json:"failures"`
			Results  []policytest.Result `json:"results"`
		}{len(results), failed, results})
	}
	var text strings.Builder
	for _, r := range results {
		if r.Passed() {
			continue
		}
		fmt.Fprintf(&text, "FAIL  %s: %s (%s:%d)\n", r.Policy, r.Case, r.File, r.Line)
		for _, failure := range r.Failures {
			fmt.Fprintf(&text, "      %s\n", failure)
		}
	}
	verdict := "ok"
	if failed > 0 {
		verdict = fmt.Sprintf("%d failed", failed)
	}
	cases := fmt.Sprintf("%d cases", len(results))
	if len(results) == 1 {
		cases = "1 case"
	}
	fmt.Fprintf(&text, "%s: %s\n", cases, verdict)
	_, err := io.WriteString(w, text.String())
	return err
}
