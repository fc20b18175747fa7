package differential_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

const (
	workflow      = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
	otherWorkflow = "https://github.com/mallory/app/.github/workflows/release.yml@refs/heads/main"
)

// kind is what evidence is.
type kind int

const (
	signature kind = iota
	attestation
)

// String is the kind's name.
func (k kind) String() string { return [...]string{"signature", "attestation"}[k] }

// question is one that a policy asks and that cosign can be asked.
type question struct {
	name          string
	authority     string // of the policy
	predicateType string
	// as turns how evidence was made into how cosign is asked about it.
	as func(sigstore.Signing) sigstore.Signing
	of *sigstore.Stack
	// suits says whether the evidence may be what is asked for. If not, every
	// answer has to be no.
	suits func(sigstore.Signing) bool
}

// cast is who takes part.
type cast struct {
	stack, foreign *sigstore.Stack
	key, otherKey  *sigstore.KeyPair
	identity       sigstore.Identity
}

func newCast(t *testing.T) cast {
	t.Helper()
	c := cast{stack: sigstore.Start(t), foreign: sigstore.Start(t), key: sigstore.NewKeyPair(t), otherKey: sigstore.NewKeyPair(t)}
	c.identity = c.stack.Workflow(t, workflow)
	return c
}

// trustRoots are the entries of the configuration.
func (c cast) trustRoots() []string {
	return []string{
		fmt.Sprintf("{name: acme, file: %q, require: {certificateTimestamps: 1, logEntries: 1, timestamps: 1}}", c.stack.TrustedRoot),
		fmt.Sprintf("{name: acme-unlogged, file: %q, require: {certificateTimestamps: 1, logEntries: 0, timestamps: 1}}", c.stack.TrustedRoot),
		fmt.Sprintf("{name: foreign, file: %q}", c.foreign.TrustedRoot),
	}
}

func keyless(trustRoot, issuer, identity string) string {
	return fmt.Sprintf("{keyless: {trustRoot: %s, issuer: %q, identity: %q}}", trustRoot, issuer, identity)
}

// logged asks for a log entry; where Rekor v2 has it, a timestamp gives the
// time.
func logged(g sigstore.Signing) sigstore.Signing {
	if g.Log == sigstore.NoLog {
		g.Log = sigstore.RekorV1
	}
	return g
}

// timestamped says whether a timestamp authority was asked; for Rekor v2 it
// always is.
func timestamped(g sigstore.Signing) bool { return g.Timestamp || g.Log == sigstore.RekorV2 }

func unlogged(g sigstore.Signing, timestamp bool) sigstore.Signing {
	g.Log, g.Timestamp = sigstore.NoLog, timestamp
	return g
}

// questions are all of them.
func (c cast) questions(t *testing.T) []question {
	t.Helper()
	byKey := func(g sigstore.Signing, key *sigstore.KeyPair) sigstore.Signing { g.Key = key; return g }
	byIdentity := func(g sigstore.Signing, name, issuer string) sigstore.Signing {
		g.Key, g.Identity = nil, sigstore.Identity{Name: name, Issuer: issuer}
		return g
	}
	hasKey := func(g sigstore.Signing) bool { return g.Key != nil }
	hasIdentity := func(g sigstore.Signing) bool { return g.Key == nil }
	hasTimestamp := func(g sigstore.Signing) bool { return g.Key == nil && timestamped(g) }
	no := func(sigstore.Signing) bool { return false }
	id, otherIssuer := c.identity, c.stack.Email(t, "alice@example.com").Issuer
	all := []question{
		{
			name: "key", authority: fmt.Sprintf("{keyFile: %q}", c.key.Public), suits: hasKey,
			as: func(g sigstore.Signing) sigstore.Signing { return unlogged(byKey(g, c.key), false) },
		},
		{
			name: "key-logged", authority: fmt.Sprintf("{keyFile: %q, trustRoot: acme}", c.key.Public), suits: hasKey,
			as: func(g sigstore.Signing) sigstore.Signing { return logged(byKey(g, c.key)) },
		},
		{
			name: "other-key", authority: fmt.Sprintf("{keyFile: %q}", c.otherKey.Public), suits: no,
			as: func(g sigstore.Signing) sigstore.Signing { return unlogged(byKey(g, c.otherKey), false) },
		},
		{
			name: "keyless", authority: keyless("acme", id.Issuer, id.Name), suits: hasIdentity,
			as: func(g sigstore.Signing) sigstore.Signing { return logged(byIdentity(g, id.Name, id.Issuer)) },
		},
		{
			name: "keyless-unlogged", authority: keyless("acme-unlogged", id.Issuer, id.Name), suits: hasTimestamp,
			as: func(g sigstore.Signing) sigstore.Signing { return unlogged(byIdentity(g, id.Name, id.Issuer), true) },
		},
		{
			name: "other-identity", authority: keyless("acme", id.Issuer, otherWorkflow), suits: no,
			as: func(g sigstore.Signing) sigstore.Signing { return logged(byIdentity(g, otherWorkflow, id.Issuer)) },
		},
		{
			name: "other-issuer", authority: keyless("acme", otherIssuer, id.Name), suits: no,
			as: func(g sigstore.Signing) sigstore.Signing { return logged(byIdentity(g, id.Name, otherIssuer)) },
		},
		{
			name: "other-sigstore", authority: keyless("foreign", id.Issuer, id.Name), suits: no, of: c.foreign,
			as: func(g sigstore.Signing) sigstore.Signing { return logged(byIdentity(g, id.Name, id.Issuer)) },
		},
		{
			name: "other-predicate", authority: fmt.Sprintf("{keyFile: %q}, %s", c.key.Public, keyless("acme", id.Issuer, id.Name)), suits: no,
			predicateType: "https://example.com/other/v1", as: logged,
		},
	}
	for i := range all {
		if all[i].predicateType == "" {
			all[i].predicateType = predicateType
		}
		if all[i].of == nil {
			all[i].of = c.stack
		}
	}
	return all
}

// about says whether the question can be asked of evidence of this kind.
func (q question) about(k kind) bool { return k == attestation || q.predicateType == predicateType }

// policy names the policy that asks the question.
func (q question) policy(registry string, k kind) string {
	return strings.Join([]string{registry, k.String(), q.name}, "-")
}

// policies are those that ask all the questions of both registries.
func policies(questions []question, registries map[string]string) []string {
	var all []string
	for registry := range registries {
		for _, q := range questions {
			if q.about(signature) {
				all = append(all, signaturePolicy(q.policy(registry, signature), registry, q.authority))
			}
			all = append(all, attestationPolicy(q.policy(registry, attestation), registry, q.authority, q.predicateType))
		}
	}
	return all
}

// cosign asks a client.
func (q question) cosign(t *testing.T, by sigstore.Client, g sigstore.Signing, k kind, image string) error {
	t.Helper()
	if k == attestation {
		return q.of.VerifyAttestation(t, by, q.as(g), q.predicateType, image)
	}
	return q.of.Verify(t, by, q.as(g), image)
}
