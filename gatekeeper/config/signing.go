package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// Signing says what the summaries of promotions are signed with, and whose
// summaries an audit accepts. With PublicKeys alone nothing is signed; an audit
// needs no more.
type Signing struct {
	Key          string `yaml:"key" json:"key,omitempty" jsonschema:"description=file with a private key in PEM\\, as cosign generate-key-pair leaves it\\, or a URI of awskms:// azurekms:// gcpkms:// hashivault://"`
	PasswordFile string `yaml:"passwordFile" json:"passwordFile,omitempty" jsonschema:"description=password of the key file"`
	PasswordEnv  string `yaml:"passwordEnv" json:"passwordEnv,omitempty"`
	Form         string `yaml:"form" json:"form,omitempty" jsonschema:"enum=bundle,enum=tag,description=bundle: as a referrer; tag: in cosign's older form under sha256-….att; the form of the image's own signatures when left out"`
	VerifierID   string `yaml:"verifierID" json:"verifierID,omitempty" jsonschema:"description=URI that the summaries name as verifier; the project's address when left out"`
	// PublicKeys are accepted besides the one that signs: those of before a
	// rotation.
	PublicKeys []string `yaml:"publicKeys" json:"publicKeys,omitempty" jsonschema:"description=files with further public keys in PEM that an audit accepts"`
	Keyless    *Keyless `yaml:"keyless" json:"keyless,omitempty" jsonschema:"description=sign with certificates of Fulcio instead of a key"`
}

// Keyless signs with short-lived certificates of a Sigstore instance.
type Keyless struct {
	FulcioURL         string `yaml:"fulcioURL" json:"fulcioURL,omitempty"`
	RekorURL          string `yaml:"rekorURL" json:"rekorURL,omitempty" jsonschema:"description=a Rekor of version 1; write signingConfigFile for version 2"`
	TimestampURL      string `yaml:"timestampURL" json:"timestampURL,omitempty" jsonschema:"description=the full URL of an RFC 3161 timestamp authority"`
	SigningConfigFile string `yaml:"signingConfigFile" json:"signingConfigFile,omitempty" jsonschema:"description=Sigstore's signing_config.json instead of the URLs"`
	IdentityTokenFile string `yaml:"identityTokenFile" json:"identityTokenFile" jsonschema:"description=file with the OpenID Connect token; read anew for each summary"`
	TrustedRootFile   string `yaml:"trustedRootFile" json:"trustedRootFile" jsonschema:"description=Sigstore's trusted_root.json that summaries are verified with"`
	Issuer            string `yaml:"issuer" json:"issuer" jsonschema:"description=issuer of the token\\, exactly"`
	Identity          string `yaml:"identity" json:"identity" jsonschema:"description=subject alternative name of the certificates\\, exactly"`
}

// The forms of a summary in the registry.
const (
	FormBundle = "bundle"
	FormTag    = "tag"
)

// Signs says whether promotions get a signed summary.
func (c *Config) Signs() bool {
	return c.Signing != nil && (c.Signing.Key != "" || c.Signing.Keyless != nil)
}

func (v *validator) signing() {
	s := v.c.Signing
	if s == nil {
		return
	}
	const at = "$.signing"
	switch {
	case s.Key != "" && s.Keyless != nil:
		v.failf(at, "has both key and keyless; keep one")
	case s.Key == "" && s.Keyless == nil && len(s.PublicKeys) == 0:
		v.failf(at, "has no key; write key: PATH, or publicKeys to audit only")
	}
	v.exclusive(at, "passwordFile", s.PasswordFile, "passwordEnv", s.PasswordEnv)
	scheme, _, kms := strings.Cut(s.Key, "://")
	password := s.PasswordFile != "" || s.PasswordEnv != ""
	switch {
	case kms && !slices.Contains(policyfile.KMSSchemes(), scheme):
		v.failf(at+".key", "%q is no key management service that is supported; write one of %s", scheme, strings.Join(policyfile.KMSSchemes(), ", "))
	case password && (kms || s.Key == ""):
		v.failf(at, "has a password without a key file")
	}
	switch {
	case s.Form != "" && s.Form != FormBundle && s.Form != FormTag:
		v.failf(at+".form", "%q is no form; write %s or %s, or leave it out", s.Form, FormBundle, FormTag)
	case s.Form == FormTag && s.Keyless != nil:
		v.failf(at+".form", "%q has no place for certificates; write %s with keyless", s.Form, FormBundle)
	}
	if u, err := url.Parse(s.VerifierID); s.VerifierID != "" && (err != nil || u.Scheme == "") {
		v.failf(at+".verifierID", "%q is no URI; write one as in https://gatekeeper.example.com", s.VerifierID)
	}
	for i, file := range s.PublicKeys {
		if file == "" {
			v.failf(fmt.Sprintf("%s.publicKeys[%d]", at, i), "is empty; write the path of a public key")
		}
	}
	if s.Keyless != nil {
		v.keyless(at+".keyless", *s.Keyless)
	}
}

func (v *validator) keyless(at string, k Keyless) {
	for _, required := range []struct{ key, value string }{
		{"identityTokenFile", k.IdentityTokenFile}, {"trustedRootFile", k.TrustedRootFile}, {"issuer", k.Issuer}, {"identity", k.Identity},
	} {
		if required.value == "" {
			v.failf(at, "has no %s", required.key)
		}
	}
	urls := []struct{ key, value string }{{"fulcioURL", k.FulcioURL}, {"rekorURL", k.RekorURL}, {"timestampURL", k.TimestampURL}}
	for _, one := range urls {
		switch u, err := url.Parse(one.value); {
		case one.value == "":
		case k.SigningConfigFile != "":
			v.failf(at+"."+one.key, "is contradictory; signingConfigFile names the services")
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			v.failf(at+"."+one.key, "is no URL; write one as in https://fulcio.example.com")
		case one.key == "fulcioURL" && u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "0")):
			v.failf(at+"."+one.key, "would get the identity token in the clear; write https://")
		}
	}
	switch {
	case k.SigningConfigFile != "":
	case k.FulcioURL == "":
		v.failf(at, "has no fulcioURL; write it, or signingConfigFile")
	case k.RekorURL == "" && k.TimestampURL == "":
		v.failf(at, "has neither rekorURL nor timestampURL; without one nobody can verify a summary after its certificate's ten minutes")
	}
}
