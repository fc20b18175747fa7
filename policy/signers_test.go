package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

const (
	githubIssuer  = "https://token.actions.githubusercontent.com"
	githubSubject = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.2.3"
)

// files are what policies in these tests name: four keys and a certificate.
type files map[string][]byte

func newFiles(tb testing.TB) files {
	tb.Helper()
	all := files{}
	for _, name := range []string{"a.pub", "b.pub", "c.pub", "d.pub"} {
		all[name] = newKeys(tb).ci.PublicKey
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: received(), NotAfter: received().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		tb.Fatal(err)
	}
	all["notary.pem"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return all
}

// parse reads a policy of the given rules.
func (f files) parse(rules string) (*policy.Compiled, error) {
	text := "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: test}\nspec:\n" + indent(`from: staging
match: {repositories: ["**"]}
wait: 1h
promote: {to: golden, repository: "{{ .Repository }}", tags: ["{{ .Tag }}"]}
`+rules)
	parsed, err := policyfile.Parse("test.yaml", []byte(text), f.read)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return parsed[0].Compiled, nil
}

// read is the policyfile.ReadFile of the files.
func (f files) read(name string) ([]byte, error) {
	data, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("no file %s", name)
	}
	return data, nil
}

func (f files) compile(tb testing.TB, rules string) *policy.Compiled {
	tb.Helper()
	c, err := f.parse(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// piece is what verification said about one piece of evidence.
type piece struct {
	result     policy.Verification
	verifiedBy []string
	identities []policy.Identity
	reason     string
	predicate  string // of an attestation; {} when empty
	// certificate is that of a Notary Project signature.
	certificate string
}

// by makes a piece of evidence by somebody whom a policy names.
type by func(tb testing.TB, f files, c *policy.Compiled) piece

// authority finds who an authority of the policy is.
func authority(tb testing.TB, c *policy.Compiled, what string, is func(a policy.Authority) bool) string {
	tb.Helper()
	i := slices.IndexFunc(c.Authorities(), is)
	if i < 0 {
		tb.Fatalf("the policy has no authority %s", what)
	}
	return c.Authorities()[i].ID
}

// key signs with a key, which counts for every authority that is the key in
// one of the logs; "" is no log.
func key(name string, logs ...string) by {
	return func(tb testing.TB, f files, c *policy.Compiled) piece {
		tb.Helper()
		if len(logs) == 0 {
			logs = []string{""}
		}
		p := piece{result: policy.Verified}
		for _, log := range logs {
			p.verifiedBy = append(p.verifiedBy, authority(tb, c, name+log, func(a policy.Authority) bool {
				return string(a.PublicKey) == string(f[name+".pub"]) && a.TrustRoot == log
			}))
		}
		return p
	}
}

// notary signs with a certificate of the Notary Project that is all of the
// named organisations' units.
func notary(units ...string) by {
	return func(tb testing.TB, _ files, c *policy.Compiled) piece {
		tb.Helper()
		p := piece{result: policy.Verified}
		for _, unit := range units {
			p.verifiedBy = append(p.verifiedBy, authority(tb, c, unit, func(a policy.Authority) bool {
				return a.Notary != nil && strings.HasSuffix(a.Notary.Identities[0], unit)
			}))
		}
		return p
	}
}

// with signs with a Notary Project certificate of which the evidence says
// which one it is.
func with(certificate string, signer by) by {
	return func(tb testing.TB, f files, c *policy.Compiled) piece {
		tb.Helper()
		p := signer(tb, f, c)
		p.certificate = certificate
		return p
	}
}

// withKey is with, where the certificate is for one of the keys.
func withKey(name string, signer by) by {
	return func(tb testing.TB, f files, c *policy.Compiled) piece {
		tb.Helper()
		a, err := policy.NewAuthority(f[name+".pub"])
		if err != nil {
			tb.Fatal(err)
		}
		return with(a.ID, signer)(tb, f, c)
	}
}

// who signs with an identity.
func who(identities ...policy.Identity) by {
	return func(testing.TB, files, *policy.Compiled) piece {
		return piece{result: policy.Verified, identities: identities}
	}
}

// github signs in the release workflow of acme/app, with something changed.
func github(change func(i *policy.Identity)) by {
	id := policy.Identity{TrustRoot: "sigstore", Issuer: githubIssuer, Subject: githubSubject, Claims: claims()}
	if change != nil {
		change(&id)
	}
	return who(id)
}

// claims are those of the release workflow, all of them.
func claims() map[string]string {
	all := map[string]string{}
	for _, name := range policy.Claims() {
		all[name] = "the " + name
	}
	maps.Copy(all, map[string]string{
		"sourceRepositoryURI": "https://github.com/acme/app", "sourceRepositoryRef": "refs/tags/v1.2.3",
		"runnerEnvironment": "github-hosted", "buildTrigger": "push",
	})
	return all
}

func subject(text string) func(i *policy.Identity) {
	return func(i *policy.Identity) { i.Subject = text }
}

func issuer(text string) func(i *policy.Identity) {
	return func(i *policy.Identity) { i.Issuer = text }
}

// mail signs with an e-mail address, as people do.
func mail(address string) by {
	return who(policy.Identity{TrustRoot: "sigstore", Issuer: "https://accounts.google.com", Subject: address})
}

// fails is evidence by nobody.
func fails(result policy.Verification, reason string) by {
	return func(testing.TB, files, *policy.Compiled) piece { return piece{result: result, reason: reason} }
}

func saying(signer by, predicate string) by {
	return func(tb testing.TB, f files, c *policy.Compiled) piece {
		tb.Helper()
		p := signer(tb, f, c)
		p.predicate = predicate
		return p
	}
}

// evidence is an image that nothing is wrong with, with the pieces as its
// signatures or as its attestations.
func evidence(tb testing.TB, f files, c *policy.Compiled, attestations bool, pieces ...by) *policy.Evidence {
	tb.Helper()
	ev := (keys{}).good()
	ev.Signatures, ev.Attestations = nil, nil
	for i, make := range pieces {
		p := make(tb, f, c)
		manifest := fmt.Sprintf("sha256:%064d", i)
		if !attestations {
			ev.Signatures = append(ev.Signatures, policy.Signature{
				Form: "bundle", Manifest: manifest, Result: p.result, VerifiedBy: p.verifiedBy, Identities: p.identities, Reason: p.reason,
				Certificate: p.certificate,
			})
			continue
		}
		a := policy.Attestation{
			Form: "bundle", Manifest: manifest, Result: p.result, VerifiedBy: p.verifiedBy, Identities: p.identities, Reason: p.reason, PredicateType: testResult,
		}
		if p.result == policy.Malformed {
			a.PredicateType = ""
		}
		if p.result == policy.Verified {
			a.Predicate = json.RawMessage(p.predicate)
			if p.predicate == "" {
				a.Predicate = json.RawMessage("{}")
			}
		}
		ev.Attestations = append(ev.Attestations, a)
	}
	return ev
}
