package app //nolint:testpackage // the parts of the composition root are not exported

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const somePolicyTest = `apiVersion: gatekeeper/v1alpha1
kind: PolicyTest
policy: services
now: 2026-11-20T08:00:00Z
cases:
  - {name: unsigned, expect: {verdict: pending}}
  - {name: signed, evidence: {signatures: [{verifiedBy: ["hashivault://ci"]}]}, expect: {verdict: promoted}}
`

// policyTests writes a policy with a key that a service has, and its tests.
func policyTests(t *testing.T, tests string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "policies", "services.yaml"), kmsPolicy)
	write(t, filepath.Join(dir, "policies", "services_test.yaml"), tests)
	return filepath.Join(dir, "policies")
}

func TestPolicyTests(t *testing.T) {
	asked := vaultDown(t)
	dir := policyTests(t, somePolicyTest)
	elsewhere := write(t, filepath.Join(t.TempDir(), "more_test.yaml"), strings.Replace(somePolicyTest, "verdict: pending", "verdict: promoted", 1))
	for name, tt := range map[string]struct {
		options PolicyTestOptions
		code    int
		want    string // in what is printed, or in the error
	}{
		"a folder":            {PolicyTestOptions{Locations: []string{dir}}, StatusOK, "2 cases: ok"},
		"a file":              {PolicyTestOptions{Locations: []string{filepath.Join(dir, "services_test.yaml")}}, StatusOK, "2 cases: ok"},
		"some":                {PolicyTestOptions{Locations: []string{dir}, Run: "uns"}, StatusOK, "1 case: ok"},
		"none of them":        {PolicyTestOptions{Locations: []string{dir}, Run: "x"}, StatusUsage, `no case has "x" in its name`},
		"elsewhere":           {PolicyTestOptions{Locations: []string{elsewhere}, Policies: dir}, StatusRejected, "FAIL  services: unsigned (" + elsewhere + ":6)\n      the verdict is pending, want promoted\n2 cases: 1 failed"},
		"as JUnit":            {PolicyTestOptions{Locations: []string{elsewhere}, Policies: dir, Output: outputJUnit}, StatusRejected, `<testsuites tests="2" failures="1">`},
		"as JSON":             {PolicyTestOptions{Locations: []string{dir}, Output: outputJSON}, StatusOK, `"tests": 2`},
		"no such output":      {PolicyTestOptions{Locations: []string{dir}, Output: "xml"}, StatusUsage, "use text, json or junit"},
		"no policy beside it": {PolicyTestOptions{Locations: []string{elsewhere}}, StatusUsage, `no policy "services" beside it`},
		"nothing there":       {PolicyTestOptions{Locations: []string{filepath.Join(dir, "none")}}, StatusUsage, "no such file"},
		"no tests":            {PolicyTestOptions{Locations: []string{t.TempDir()}}, StatusUsage, "_test.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if tt.options.Output == "" {
				tt.options.Output = outputText
			}
			err := TestPolicies(t.Context(), tt.options, Streams{Out: &out, Err: io.Discard})
			code := StatusOK
			if failed, ok := errors.AsType[*StatusError](err); ok {
				code = failed.Code
			} else if err != nil {
				t.Fatal(err)
			}
			text := out.String()
			if err != nil {
				text += err.Error()
			}
			if code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("status %d, want %d: %s", code, tt.code, text)
			}
		})
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the key service was asked %d times", n)
	}
}

// While it watches, a change has the tests run again, mistakes and all.
func TestPolicyTestsAreWatched(t *testing.T) {
	t.Parallel()
	dir := policyTests(t, somePolicyTest)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- TestPolicies(ctx, PolicyTestOptions{Locations: []string{dir}, Output: outputText, Watch: true}, Streams{Out: w, Err: w})
		_ = w.Close()
	}()
	await := func(want string) {
		t.Helper()
		var seen strings.Builder
		buffer := make([]byte, 4096)
		for !strings.Contains(seen.String(), want) {
			n, err := r.Read(buffer)
			if err != nil {
				t.Fatalf("%v; %q, want %q", err, seen.String(), want)
			}
			seen.Write(buffer[:n])
		}
	}
	await("2 cases: ok")
	write(t, filepath.Join(dir, "services_test.yaml"), strings.Replace(somePolicyTest, "verdict: pending", "verdict: promoted", 1))
	await("2 cases: 1 failed")
	write(t, filepath.Join(dir, "services_test.yaml"), somePolicyTest+"luck: 1\n")
	await("luck: unknown key")
	write(t, filepath.Join(dir, "services_test.yaml"), somePolicyTest)
	await("2 cases: ok")
	stop()
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
