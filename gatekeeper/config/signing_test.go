package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
)

const keyless = `{fulcioURL: "https://f.example", rekorURL: "https://r.example", identityTokenFile: /t, trustedRootFile: /r, issuer: "https://i.example", identity: "https://me.example"}`

func withSigning(text string) []byte {
	return []byte(strings.Replace(good, "policies:", "signing: "+text+"\npolicies:", 1))
}

func TestSigningAsItMayBeWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*config.Signing{
		"{key: /run/secrets/gatekeeper.key}": {Key: "/run/secrets/gatekeeper.key"},
		`{key: "hashivault://golden", verifierID: "https://gatekeeper.example.com", publicKeys: [/old.pub]}`: {
			Key: "hashivault://golden", VerifierID: "https://gatekeeper.example.com", PublicKeys: []string{"/old.pub"},
		},
		"{key: /k, passwordEnv: P, form: tag}": {Key: "/k", PasswordEnv: "P", Form: config.FormTag},
		"{publicKeys: [/k.pub]}":               {PublicKeys: []string{"/k.pub"}},
		"{keyless: " + keyless + "}": {Keyless: &config.Keyless{
			FulcioURL: "https://f.example", RekorURL: "https://r.example", IdentityTokenFile: "/t", TrustedRootFile: "/r",
			Issuer: "https://i.example", Identity: "https://me.example",
		}},
		`{keyless: {signingConfigFile: /s, identityTokenFile: /t, trustedRootFile: /r, issuer: i, identity: me}}`: {
			Keyless: &config.Keyless{SigningConfigFile: "/s", IdentityTokenFile: "/t", TrustedRootFile: "/r", Issuer: "i", Identity: "me"},
		},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			c, err := config.Parse("gatekeeper.yaml", withSigning(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, c.Signing); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if signs := want.Key != "" || want.Keyless != nil; c.Signs() != signs {
				t.Errorf("signs: %v", c.Signs())
			}
		})
	}
	if c, err := config.Parse("gatekeeper.yaml", []byte(good)); err != nil || c.Signs() {
		t.Errorf("without the section it signs (%v)", err)
	}
}

func TestMistakesInSigning(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "{}", "has no key"},
		{"a misspelt key", "{keys: /k}", "15:11: keys: unknown key"},
		{"an inline password", "{key: /k, password: secret}", "15:20: password: unknown key"},
		{"a service that is not known", `{key: "evil://golden"}`, "15:16: signing.key: \"evil\" is no key management service that is supported"},
		{"two passwords", "{key: /k, passwordFile: /p, passwordEnv: P}", "both passwordFile and passwordEnv"},
		{"a password for a service", `{key: "awskms:///alias/golden", passwordFile: /p}`, "a password without a key file"},
		{"a key and keyless", "{key: /k, keyless: " + keyless + "}", "both key and keyless"},
		{"a verifier that is no URI", "{key: /k, verifierID: gatekeeper}", "is no URI"},
		{"an unknown form", "{key: /k, form: oci}", "signing.form: \"oci\" is no form; write bundle or tag"},
		{"certificates in the older form", "{form: tag, keyless: " + keyless + "}", "has no place for certificates"},
		{"an empty public key", `{publicKeys: [""]}`, "signing.publicKeys[0]: is empty"},
		{"no token", "{keyless: " + strings.Replace(keyless, "identityTokenFile: /t, ", "", 1) + "}", "has no identityTokenFile"},
		{"anybody's certificate", "{keyless: " + strings.Replace(keyless, `, identity: "https://me.example"`, "", 1) + "}", "has no identity"},
		{"no certificates", "{keyless: " + strings.Replace(keyless, `fulcioURL: "https://f.example", `, "", 1) + "}", "has no fulcioURL"},
		{"no time", "{keyless: " + strings.Replace(keyless, `rekorURL: "https://r.example", `, "", 1) + "}", "neither rekorURL nor timestampURL"},
		{"no URL", "{keyless: " + strings.Replace(keyless, `"https://f.example"`, "f.example", 1) + "}", "keyless.fulcioURL: is no URL"},
		{"a token in the clear", "{keyless: " + strings.Replace(keyless, "https://f.example", "http://f.example", 1) + "}", "keyless.fulcioURL: would get the identity token in the clear"},
		{"two ways to name services", "{keyless: " + strings.Replace(keyless, "{", "{signingConfigFile: /s, ", 1) + "}", "is contradictory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("gatekeeper.yaml", withSigning(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("says %v, want %s", err, tt.want)
			}
		})
	}
}

// An instance on this machine needs no TLS.
func TestATokenMayStayOnThisMachine(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://127.0.0.1:5555", "http://[::1]:5555", "http://localhost:5555"} {
		if _, err := config.Parse("gatekeeper.yaml", withSigning("{keyless: "+strings.Replace(keyless, "https://f.example", url, 1)+"}")); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A machine that only audits decides nothing, and hears of no pushes.
func TestAnAuditNeedsNoPolicies(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gatekeeper.yaml")
	text := "apiVersion: gatekeeper/v1alpha1\nkind: Configuration\nregistries: [{name: golden, url: 'https://golden.example.com'}]\nsigning: {publicKeys: [/k.pub]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.LoadForAudit(file); err != nil || len(c.Registries) != 1 {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := config.Load(file); err == nil || !strings.Contains(err.Error(), "policies") || !strings.Contains(err.Error(), "none is a source") {
		t.Errorf("for a service: %v", err)
	}
	if err := os.WriteFile(file, []byte(text+"audit: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.LoadForAudit(file); err == nil {
		t.Error("an unknown key is accepted")
	}
}
