package policy

import (
	"bytes"
	"cmp"
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
	"unicode"
	"unicode/utf8"
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

// key tells identities apart when signers are counted. The trust root is no
// part of it: one certificate can be of two of them.
func (i Identity) key() string { return fmt.Sprintf("%q %q", i.Issuer, i.Subject) }

// String names the identity for people.
func (i Identity) String() string {
	text := i.Subject + " (issued by " + i.Issuer
	if i.TrustRoot != DefaultTrustRoot {
		text += ", certified by " + i.TrustRoot
	}
	return text + ")"
}

// maxIdentity bounds what a certificate says, and the patterns for it, in
// bytes. Claims are URLs, names and digests.
const maxIdentity = 2048

// legible says whether a text out of a certificate can be compared at all.
// One with a line break in it, a NUL or what is no UTF-8 fits no pattern that
// anybody would write on purpose.
func legible(text string) bool {
	return text != "" && len(text) <= maxIdentity && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

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
	if k == nil || i.TrustRoot != a.TrustRoot || !legible(i.Issuer) || !legible(i.Subject) {
		return false
	}
	return k.issuer.MatchString(i.Issuer) && k.identity.MatchString(i.Subject) && len(k.wrongClaims(i)) == 0
}

// wrongClaims lists the claims of an identity that are not what is asked for.
func (k Keyless) wrongClaims(i Identity) []string {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(k.claims)) {
		if claim := i.Claims[name]; !legible(claim) || !k.claims[name].MatchString(claim) {
			wrong = append(wrong, name)
		}
	}
	return wrong
}

// onlyClaims lists the claims that alone keep an identity from being the
// authority.
func (a Authority) onlyClaims(i Identity) []string {
	k := a.Keyless
	if k == nil {
		return nil
	}
	a.Keyless = &Keyless{issuer: k.issuer, identity: k.identity}
	if !a.Matches(i) {
		return nil
	}
	return k.wrongClaims(i)
}

// String names the authority for people.
func (a Authority) String() string {
	switch {
	case a.Keyless != nil:
		return a.Keyless.text
	case a.Notary != nil:
		return "the Notary Project identity " + strings.Join(a.Notary.Identities, " or ")
	}
	id := a.ID
	if block, _ := pem.Decode(a.PublicKey); block != nil { // of the key, whatever it is asked for beside
		id = keyID(block.Bytes)
	}
	text := "the key " + id[:min(len(id), len("sha256:")+12)]
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
	return Authority{
		ID:        keyID(block.Bytes),
		PublicKey: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes}),
	}, nil
}

// keyID names a key by its PKIX DER form.
func keyID(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
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
	if k.issuer, err = oneOf(ref.Issuer, ref.IssuerRegExp, anyURL); err != nil {
		return Authority{}, keyOf("issuer", ref.Issuer, ref.IssuerRegExp), err
	}
	if k.identity, err = oneOf(ref.Identity, ref.IdentityRegExp, anyURL, anyMail); err != nil {
		return Authority{}, keyOf("identity", ref.Identity, ref.IdentityRegExp), err
	}
	for _, name := range slices.Sorted(maps.Keys(ref.Claims)) {
		if !slices.Contains(Claims(), name) {
			return Authority{}, "claims", fmt.Errorf("%q is no claim; known: %s", name, strings.Join(Claims(), ", "))
		}
		if k.claims[name], err = oneOf(ref.Claims[name], ""); err != nil {
			return Authority{}, "claims", fmt.Errorf("%s: %w", name, err)
		}
	}
	k.text = Identity{TrustRoot: ref.TrustRoot, Issuer: ref.Issuer + ref.IssuerRegExp, Subject: ref.Identity + ref.IdentityRegExp}.String()
	for _, name := range slices.Sorted(maps.Keys(ref.Claims)) {
		k.text += fmt.Sprintf(" with %s %s", name, ref.Claims[name])
	}
	return Authority{ID: idOf("keyless", ref), TrustRoot: ref.TrustRoot, Keyless: k}, "", nil
}

// keyOf is the key that was written: that of the value, or of the regular
// expression.
func keyOf(key, glob, expression string) string {
	if glob == "" && expression != "" {
		return key + "RegExp"
	}
	return key
}

// oneOf compiles a glob or a regular expression for the whole value. A pattern
// that takes any of the strangers is a mistake: everybody can have a
// certificate.
func oneOf(glob, expression string, strangers ...string) (*regexp.Regexp, error) {
	pattern := expression
	switch {
	case glob == "" && expression == "":
		return nil, errors.New("missing; write a value, in which * stands for any text, or a regular expression for the whole of it")
	case glob != "" && expression != "":
		return nil, errors.New("both a value and a regular expression; keep one")
	case len(glob)+len(expression) > maxIdentity:
		return nil, fmt.Errorf("%d bytes; write at most %d", len(glob)+len(expression), maxIdentity)
	case glob != "":
		pattern = globPattern(glob)
	}
	// By itself first: "a)|(?:b" is no expression, but would be one between
	// the brackets below, with ends that nothing holds.
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("no regular expression: %w", err)
	}
	compiled, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("no regular expression: %w", err)
	}
	if slices.ContainsFunc(append(strangers, "", "~anybody~"), compiled.MatchString) {
		return nil, fmt.Errorf("%q takes anything; name who it has to be", glob+expression)
	}
	return compiled, nil
}

// globPattern turns a glob into a regular expression. A * stands for any text;
// one in front of an @ stands for text without an @. So the branch "x@refs/tags/v1"
// of any repository is not taken for the tag in "https://github.com/acme/*@refs/tags/*".
func globPattern(glob string) string {
	var b strings.Builder
	for rest := glob; ; {
		before, after, star := strings.Cut(rest, "*")
		b.WriteString(regexp.QuoteMeta(before))
		switch {
		case !star:
			return b.String()
		case strings.Contains(after, "@"):
			b.WriteString("[^@]*")
		default:
			b.WriteString(".*")
		}
		rest = after
	}
}

// anyURL and anyMail are identities that nobody has. What takes them takes
// every identity of their kind.
const (
	anyURL  = "https://~anybody~.example/~anybody~"
	anyMail = "~anybody~@~anybody~.example"
)

// newNotary reads a Notary Project entry.
func newNotary(ref NotaryReference) (_ Authority, key string, err error) {
	if err := checkCertificates(ref.Certificates); err != nil {
		return Authority{}, "certificateFile", err
	}
	if ref.TimestampCertificates != "" {
		if err := checkCertificates(ref.TimestampCertificates); err != nil {
			return Authority{}, "timestampCertificateFile", err
		}
	}
	if len(ref.Identities) == 0 || len(ref.Identities) > maxAnyOf {
		return Authority{}, "identities", fmt.Errorf(`%d entries; write at least one like %q, and at most %d`, len(ref.Identities), subjectExample, maxAnyOf)
	}
	for _, id := range ref.Identities {
		if err := checkSubject(id); err != nil {
			return Authority{}, "identities", fmt.Errorf("%q: %w; write for example %q", clean(id), err, subjectExample)
		}
	}
	return Authority{ID: idOf("notary", ref), Notary: &Notary{
		Certificates: []byte(ref.Certificates), TimestampCertificates: []byte(ref.TimestampCertificates), Identities: ref.Identities,
	}}, "", nil
}

const subjectExample = "x509.subject: C=US, ST=WA, O=acme"

// checkSubject finds what would make every verification fail later: a
// subject has to name country, state and organisation (Notary Project,
// trust-store-trust-policy.md, "Trusted Identities Constraints").
func checkSubject(id string) error {
	name, ok := strings.CutPrefix(id, "x509.subject:")
	if !ok {
		return errors.New("x509.subject: is not what it begins with")
	}
	if len(id) > maxNotaryIdentity {
		return fmt.Errorf("%d bytes; the limit is %d", len(id), maxNotaryIdentity)
	}
	seen := map[string]bool{}
	for attribute := range strings.SplitSeq(strings.ReplaceAll(name, `\,`, " "), ",") {
		kind, value, _ := strings.Cut(attribute, "=")
		kind = strings.ToUpper(strings.TrimSpace(kind))
		if kind == "S" {
			kind = "ST"
		}
		if seen[kind] || strings.TrimSpace(value) == "" {
			return fmt.Errorf("%s is empty or there twice", cmp.Or(kind, "an attribute"))
		}
		seen[kind] = true
	}
	if !seen["C"] || !seen["ST"] || !seen["O"] {
		return errors.New("one of C, ST and O is missing")
	}
	return nil
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
