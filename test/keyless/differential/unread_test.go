package differential_test

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

// What cosign writes and the gatekeeper does not read is refused with a reason
// that says what it is (docs/clients.md); a key that needs no log counts.
func TestWhatIsNotReadIsSaid(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	host := sigstore.NewRegistry(t)
	// One trust root each: of several with the same CA, one has the last word.
	gates := map[string]*gate{}
	for _, root := range c.trustRoots()[:2] {
		name, _, _ := strings.Cut(strings.TrimPrefix(root, "{name: "), ",")
		gates[name] = startGate(t, settings{
			registries: map[string]string{"staging": host}, trustRoots: []string{root},
			policies: []string{
				attestationPolicy("keyless", "staging", keyless(name, c.identity.Issuer, workflow), predicateType),
				attestationPolicy("key", "staging", "{keyFile: "+c.key.Public+"}", predicateType),
			},
		})
	}
	cases := map[string]struct {
		signing   sigstore.Signing
		trustRoot string
		reason    string // of the finding; promoted when empty
		says      string
	}{
		"rekor2-keyless": {sigstore.Signing{Form: sigstore.Bundle, Log: sigstore.RekorV2}, "acme", "malformed", "dsse implementation for version '0.0.2' not found"},
		"rekor2-key":     {sigstore.Signing{Form: sigstore.Bundle, Log: sigstore.RekorV2, Key: c.key}, "acme", "", ""},
		"intoto-keyless": {sigstore.Signing{Form: sigstore.Tag, InToto: true}, "acme", "invalid", "a log entry of the kind intoto 0.0.1"},
		"intoto-key":     {sigstore.Signing{Form: sigstore.Tag, InToto: true, Key: c.key}, "acme", "", ""},
		"stamped-envelope": {
			sigstore.Signing{Form: sigstore.Tag, Log: sigstore.NoLog, Timestamp: true}, "acme-unlogged", "invalid", "timestamp",
		},
		"stamped-envelope-key": {sigstore.Signing{Form: sigstore.Tag, Log: sigstore.NoLog, Timestamp: true, Key: c.key}, "acme", "", ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.signing.Client, test.signing.Identity = sigstore.Cosign2, c.identity
			image := sigstore.PushImage(t, host, name)
			c.stack.Attest(t, test.signing, predicateType, []byte(`{}`), image)
			policy := "keyless"
			if test.signing.Key != nil {
				policy = "key"
			}
			j := gates[test.trustRoot].check(t, image)
			if j.accepts(t, policy) != (test.reason == "") {
				t.Fatal(j.text)
			}
			if reason, found := j.finding(policy); reason != test.reason || !strings.Contains(found, test.says) {
				t.Errorf("%s: %s; want %s: ...%s...", reason, found, test.reason, test.says)
			}
		})
	}
}
