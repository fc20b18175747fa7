package policy

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Authority is somebody whose signature counts: a public key, an identity in
// short-lived certificates, or a subject of the Notary Project's certificates.
// Exactly one of PublicKey, Keyless and Notary is set.
type Authority struct {
	// ID names the authority in evidence: "sha256:" and 64 hex digits. That
	// of a key is the SHA-256 of its PKIX DER form, so that one key has one
	// name wherever it is written.
	ID        string
	PublicKey []byte // PEM, PKIX
	// TrustRoot names a trust root of the configuration. With Keyless it
	// says whose certificates count; with PublicKey, in whose transparency
	// log the signature has to be (no log when empty).
	TrustRoot string
	Keyless   *Keyless
	Notary    *Notary
}

// Identity is who a certificate was issued to, proven against a trust root
// (Fulcio, docs/oid-info.md). It is a fact; whether it is the right one is the
// policy's question.
type Identity struct {
	TrustRoot string `json:"trustRoot"` // as the configuration names it
	Issuer    string `json:"issuer"`    // who vouched for the identity: the OIDC issuer's URL
	Subject   string `json:"subject"`   // the certificate's one subject alternative name
	// Claims are the certificate's other Fulcio extensions, by the names of
	// Claims.
	Claims map[string]string `json:"claims,omitempty"`
}

// key tells identities apart when signers are counted.
func (i Identity) key() string { return i.TrustRoot + "\x00" + i.Issuer + "\x00" + i.Subject }

// Keyless says which identities are the authority.
type Keyless struct {
	issuer, identity *regexp.Regexp
	claims           map[string]*regexp.Regexp
	text             string // for people
}

// Matches reports whether an identity is the authority's: from its trust root,
// by its issuer, with its subject and every one of its claims.
func (a Authority) Matches(i Identity) bool {
	k := a.Keyless
	if k == nil || i.TrustRoot != a.TrustRoot || i.Issuer == "" || i.Subject == "" {
		return false
	}
	for name, want := range k.claims {
		if !want.MatchString(i.Claims[name]) {
			return false
		}
	}
	return k.issuer.MatchString(i.Issuer) && k.identity.MatchString(i.Subject)
}

// String names the authority for people.
func (a Authority) String() string {
	switch {
	case a.Keyless != nil:
		return a.Keyless.text
	case a.Notary != nil:
		return "the Notary Project identity " + strings.Join(a.Notary.Identities, " or ")
	}
	text := "the key " + a.ID[:min(len(a.ID), len("sha256:")+12)]
	if a.TrustRoot != "" {
		text += ", in the log of " + a.TrustRoot
	}
	return text
}

// Notary says which signatures of the Notary Project count. The level of
// verification is always strict (Notary Project, trust-store-trust-policy.md).
type Notary struct {
	Certificates          []byte   // PEM: the authorities' certificates
	TimestampCertificates []byte   // PEM: those of timestamp authorities; may be empty
	Identities            []string // "x509.subject: C=US, ST=WA, O=acme"
}

// Claims lists the names of the claims that a keyless authority can ask for:
// Fulcio's certificate extensions (Fulcio, docs/oid-info.md).
func Claims() []string {
	return []string{
		"githubWorkflowTrigger", "githubWorkflowSHA", "githubWorkflowName", "githubWorkflowRepository", "githubWorkflowRef",
		"buildSignerURI", "buildSignerDigest", "runnerEnvironment", "sourceRepositoryURI", "sourceRepositoryDigest",
		"sourceRepositoryRef", "sourceRepositoryIdentifier", "sourceRepositoryOwnerURI", "sourceRepositoryOwnerIdentifier",
		"buildConfigURI", "buildConfigDigest", "buildTrigger", "runInvocationURI", "sourceRepositoryVisibilityAtSigning",
	}
}

// NewAuthority reads a public key in PEM (PKIX).
func NewAuthority(text []byte) (Authority, error) {
	block, rest := pem.Decode(bytes.TrimSpace(text))
	switch {
	case block == nil:
		return Authority{}, errors.New("no PEM block; write a public key as cosign generate-key-pair leaves it in cosign.pub")
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return Authority{}, errors.New("this is a private key; name the public key, and keep the private one away from policies")
	case len(bytes.TrimSpace(rest)) > 0:
		return Authority{}, errors.New("more than one PEM block; name one key a file")
	}
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return Authority{}, fmt.Errorf("no public key in PKIX form: %w", err)
	}
	sum := sha256.Sum256(block.Bytes)
	return Authority{
		ID:        "sha256:" + hex.EncodeToString(sum[:]),
		PublicKey: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes}),
	}, nil
}

// inLogOf asks that what a key signs is in a trust root's transparency log.
func (a Authority) inLogOf(trustRoot string) Authority {
	if trustRoot != "" {
		a.ID, a.TrustRoot = idOf("key in a log", a.ID, trustRoot), trustRoot
	}
	return a
}

// idOf names an authority by what it is made of.
func idOf(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts)) // maps are written in the order of their keys
	return "sha256:" + hex.EncodeToString(sum[:])
}

// newKeyless compiles a keyless entry. The mistake comes with the key it is
// about.
func newKeyless(ref KeylessReference) (_ Authority, key string, err error) {
	k := &Keyless{claims: map[string]*regexp.Regexp{}}
	if k.issuer, err = oneOf(ref.Issuer, ref.IssuerRegExp); err != nil {
		return Authority{}, "issuer", err
	}
	if k.identity, err = oneOf(ref.Identity, ref.IdentityRegExp); err != nil {
		return Authority{}, "identity", err
	}
	for name, pattern := range ref.Claims {
		if !slices.Contains(Claims(), name) {
			return Authority{}, "claims", fmt.Errorf("%q is no claim; known: %s", name, strings.Join(Claims(), ", "))
		}
		if k.claims[name], err = oneOf(pattern, ""); err != nil {
			return Authority{}, "claims", fmt.Errorf("%s: %w", name, err)
		}
	}
	k.text = fmt.Sprintf("%s (issued by %s)", ref.Identity+ref.IdentityRegExp, ref.Issuer+ref.IssuerRegExp)
	for _, name := range slices.Sorted(maps.Keys(ref.Claims)) {
		k.text += fmt.Sprintf(" with %s %s", name, ref.Claims[name])
	}
	return Authority{ID: idOf("keyless", ref), TrustRoot: ref.TrustRoot, Keyless: k}, "", nil
}

// oneOf compiles a glob, in which * stands for any text, or a regular
// expression for the whole value. A pattern that takes anything is a mistake:
// everybody can have a certificate.
func oneOf(glob, expression string) (*regexp.Regexp, error) {
	pattern := expression
	switch {
	case glob == "" && expression == "":
		return nil, errors.New("missing; write a value, in which * stands for any text, or a regular expression for the whole of it")
	case glob != "" && expression != "":
		return nil, errors.New("both a value and a regular expression; keep one")
	case glob != "":
		pattern = strings.ReplaceAll(regexp.QuoteMeta(glob), `\*`, `.*`)
	}
	compiled, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("no regular expression: %w", err)
	}
	if compiled.MatchString("") || compiled.MatchString("~anybody~") {
		return nil, fmt.Errorf("%q takes anything; name who it has to be", glob+expression)
	}
	return compiled, nil
}

// newNotary reads a Notary Project entry.
func newNotary(ref NotaryReference) (_ Authority, key string, err error) {
	for key, text := range map[string]string{"certificates": ref.Certificates, "timestampCertificates": ref.TimestampCertificates} {
		if text == "" && key == "timestampCertificates" {
			continue
		}
		if err := checkCertificates(text); err != nil {
			return Authority{}, key, err
		}
	}
	if len(ref.Identities) == 0 {
		return Authority{}, "identities", errors.New(`missing; write for example "x509.subject: C=US, ST=WA, O=acme"`)
	}
	for _, id := range ref.Identities {
		if rest, ok := strings.CutPrefix(id, "x509.subject:"); !ok || strings.TrimSpace(rest) == "" || len(id) > maxNotaryIdentity {
			return Authority{}, "identities", fmt.Errorf(`%q; write for example "x509.subject: C=US, ST=WA, O=acme"`, clean(id))
		}
	}
	return Authority{ID: idOf("notary", ref), Notary: &Notary{
		Certificates: []byte(ref.Certificates), TimestampCertificates: []byte(ref.TimestampCertificates), Identities: ref.Identities,
	}}, "", nil
}

// maxNotaryIdentity bounds a distinguished name, in bytes.
const maxNotaryIdentity = 1024

func checkCertificates(text string) error {
	rest := []byte(text)
	for n := 0; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 {
				return errors.New("no PEM certificate; name a file with the certificates of the authorities")
			}
			return nil
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("a PEM block of type %s among the certificates", clean(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", n+1, err)
		}
	}
}
