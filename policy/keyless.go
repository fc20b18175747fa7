package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

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

// newKeyless compiles a keyless entry. The mistake comes with the key it is
// about.
func newKeyless(ref KeylessReference) (_ Authority, key string, err error) {
	k := &Keyless{claims: map[string]*regexp.Regexp{}}
	if k.issuer, err = oneOf(ref.Issuer, ref.IssuerRegExp, strangers()...); err != nil {
		return Authority{}, keyOf("issuer", ref.Issuer, ref.IssuerRegExp), err
	}
	if k.identity, err = oneOf(ref.Identity, ref.IdentityRegExp, strangers()...); err != nil {
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
// that takes all of one kind of strangers is a mistake: everybody can have a
// certificate. A value without a * is meant as it is.
func oneOf(glob, expression string, strangers ...[]string) (*regexp.Regexp, error) {
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
	if glob != "" && !strings.Contains(glob, "*") {
		return compiled, nil
	}
	for _, kind := range append(strangers, []string{""}, []string{"~anybody~"}) {
		if !slices.ContainsFunc(kind, func(who string) bool { return !compiled.MatchString(who) }) {
			return nil, fmt.Errorf("%q takes anything, such as %q; name who it has to be", glob+expression, kind[0])
		}
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

// strangers are issuers and identities that no policy means, by kind: with no
// name that anybody has, by themselves, and with names such as everybody can
// have, several where one of them may be a policy's own example.
func strangers() [][]string {
	return [][]string{
		{"https://~anybody~.example/~anybody~"},
		{"~anybody~@~anybody~.example"},
		{"https://example.com", "https://nobody-we-know.com"},
		{"https://example.com/anybody", "https://nobody-we-know.com/somebody"},
		{"anybody@example.com", "somebody@nobody-we-know.com"},
		{"https://github.com/nobody-we-know/app/.github/workflows/x.yml@refs/heads/main"},
		{"https://github.com/nobody-we-know/app/.github/workflows/x.yml@refs/tags/v1.2.3"},
		{"https://gitlab.com/nobody-we-know/app//.gitlab-ci.yml@refs/heads/main"},
	}
}
