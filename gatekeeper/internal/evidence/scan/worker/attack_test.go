package worker_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded/sampleimage"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/database"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/sampledb"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/worker"
	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// misbehave is the folder of databases that have the worker go wrong in the
// way of their name.
const misbehave = "/misbehave/"

// workerMain is the worker, or one that a hostile image took over.
func workerMain(args []string, stdin io.Reader, stdout io.Writer) (status int, asked bool) {
	text, err := io.ReadAll(stdin)
	if err != nil {
		return 1, true
	}
	var request scan.Request
	_ = json.Unmarshal(text, &request) // a probe asks nothing
	clean := `{"scan":{"scanner":"x","packages":[],"vulnerabilities":[],"database":{"built":"2026-11-24T00:00:00Z","checksum":"x"}}}`
	switch how, _ := strings.CutPrefix(request.Database, misbehave); how {
	case "half":
		_, err = io.WriteString(stdout, clean[:len(clean)-2])
	case "crash after the answer":
		_, err = io.WriteString(stdout, clean)
		status = 2
	case "nothing":
		_, err = io.WriteString(stdout, `{}`)
	case "silence":
	case "endless":
		for err == nil {
			_, err = stdout.Write(bytes.Repeat([]byte(" "), 1<<20))
		}
	default:
		if len(args) > 2 {
			return worker.Main(args, nil, stdout) // a probe
		}
		err = worker.Answer(bytes.NewReader(text), stdout, takenOver)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	return status, true
}

// judge is the verdict of a policy that denies every vulnerability, for an
// image that is signed and has an SBOM by the signer.
func judge(t *testing.T, sbom string, found *policy.Scan, problem *policy.Problem, err error) policy.Verdict {
	t.Helper()
	parsed, parseErr := policyfile.Parse("p.yaml", []byte(`apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: p}
spec:
  from: staging
  match: {repositories: ["**"]}
  signatures: [{name: ci, anyOf: [{keyFile: ci.pub}]}]
  sbom: {predicateTypes: [https://cyclonedx.org/bom], signedBy: [ci]}
  vulnerabilities: {report: {allowSampleDatabase: true}, deny: [{severity: unknown}]}
  promote: {to: golden, repository: x, tags: [y]}
`), func(string) ([]byte, error) { return []byte(publicKey), nil })
	if parseErr != nil {
		t.Fatal(parseErr)
	}
	p := policy.Platform{Name: "linux/amd64", Scan: found}
	ev := policy.Evidence{Subject: policy.Subject{Repository: "app"}, Signatures: []policy.Signature{}}
	authority := parsed[0].Authorities()[0]
	ev.Signatures = append(ev.Signatures, policy.Signature{Result: policy.Verified, VerifiedBy: []string{authority.ID}})
	ev.Attestations = append(ev.Attestations, policy.Attestation{
		Result: policy.Verified, VerifiedBy: []string{authority.ID}, PredicateType: policy.PredicateCycloneDX, Predicate: json.RawMessage(sbom),
	})
	if err != nil {
		problem = &policy.Problem{Part: policy.PartScan, Reason: err.Error()}
	}
	if problem != nil {
		ev.Problems = append(ev.Problems, *problem)
	}
	ev.Image.Platforms = append(ev.Image.Platforms, p)
	return policy.Evaluate(parsed[0].Compiled, &ev, time.Now()).Verdict
}

const publicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeT6BD/NrQTOO6G5YaPW56OqExGY3
QOgd87VDLLZCDRkBasEbzSXzunqsu8S0hAj54X9t3qeh/deRl6glqAvjsA==
-----END PUBLIC KEY-----
`

// CVE-2026-54448: a scanner that ran out of memory or dropped nested content
// reported a clean image. A crash, half an answer, an empty list and too
// little memory leave the verdict open, for layers as for SBOMs.
func TestAttack_CVE_2026_54448(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image := b.pushSpec(t, vulnerable())
	empty := b.pushSpec(t, sampleimage.Spec{OS: "debian", Version: "12"})
	listed := bom(debian12, expat("e"))
	nested := bom(debian12, component("x", "library", "zlib1g", "1", "pkg:deb/debian/zlib1g@1"), // and what the library skips
		`{"type":"data","name":"d","components":[`+component("y", "file", "libexpat1", "2.5.0-1", "pkg:deb/debian/libexpat1@2.5.0-1?upstream=expat")+`]}`)
	misbehaving := func(how string) func(*scan.Options) {
		return func(o *scan.Options) { o.Database = misbehave + how }
	}
	memory := func(o *scan.Options) { o.Limits.Memory = 300 << 20 }
	for _, tt := range []struct {
		name   string
		digest string
		sbom   string
		change func(*scan.Options)
		want   policy.Verdict
	}{
		{"all is well", image, listed, nil, policy.VerdictRejected},
		{"half an answer", image, listed, misbehaving("half"), policy.VerdictError},
		{"a clean answer, and then a crash", image, listed, misbehaving("crash after the answer"), policy.VerdictError},
		{"an answer without a scan", image, listed, misbehaving("nothing"), policy.VerdictError},
		{"no answer", image, listed, misbehaving("silence"), policy.VerdictError},
		{"an answer without an end", image, listed, misbehaving("endless"), policy.VerdictError},
		{"too little memory", image, listed, memory, policy.VerdictError},
		{"no package", empty, bom(debian12), nil, policy.VerdictError},
		{"nested content dropped", empty, nested, nil, policy.VerdictError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := b.scanner(t, tt.change)
			subject := policy.Subject{Registry: "staging", Repository: "app", Digest: tt.digest}
			found, problem, err := s.Scan(t.Context(), subject, policy.Platform{Digest: tt.digest, Name: "linux/amd64"})
			if got := judge(t, tt.sbom, found, problem, err); got != tt.want {
				t.Errorf("layers: %s, want %s (%+v, %v)", got, tt.want, problem, err)
			}
			found, problem, err = s.ScanSBOM(t.Context(), newSBOM(t, tt.sbom))
			if got := judge(t, tt.sbom, found, problem, err); got != tt.want {
				t.Errorf("SBOM: %s, want %s (%+v, %v)", got, tt.want, problem, err)
			}
		})
	}
}

// CVE-2026-33634: what a scanner's supply chain delivered was taken as it
// came. A database that is pinned by its SHA-256 is installed only when it is
// the pinned one; what is installed stays otherwise.
func TestAttack_CVE_2026_33634(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	if err := sampledb.Write(from); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(scan.DatabaseFile(from))
	if err != nil {
		t.Fatal(err)
	}
	pin := fmt.Sprintf("%x", sha256.Sum256(text))
	changed := filepath.Join(t.TempDir(), "vulnerability.db")
	// The last byte of the file is in no page that is looked at to open it.
	if err := os.WriteFile(changed, append(slices.Clip(text), 0), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, archive, pin string
		installed          bool
	}{
		{"another database than the pinned one", changed, pin, false},
		{"a pin of another algorithm", scan.DatabaseFile(from), "sha512:" + pin, false},
		{"a pin cut short", scan.DatabaseFile(from), pin[:32], false},
		{"the pinned one", scan.DatabaseFile(from), pin, true},
		{"the pinned one, with the algorithm's name", scan.DatabaseFile(from), "sha256:" + pin, true},
		{"nothing pinned", changed, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to := t.TempDir()
			err := database.Import(t.Context(), to, tt.archive, tt.pin)
			if (err == nil) != tt.installed {
				t.Errorf("import: %v", err)
			}
			if _, err := database.Describe(to); errors.Is(err, database.ErrAbsent) == tt.installed {
				t.Errorf("installed: %v", err)
			}
		})
	}
}
