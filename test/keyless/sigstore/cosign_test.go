package sigstore_test

import (
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

const (
	workflow      = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
	predicateType = "https://example.com/review/v1"
)

// TestCosign lets each client write each form that it can, and both clients
// and sigstore-go read it.
func TestCosign(t *testing.T) {
	t.Parallel()
	stack := sigstore.Start(t)
	key := sigstore.NewKeyPair(t)
	identity := stack.Workflow(t, workflow)
	registries := map[string]string{"distribution": sigstore.NewRegistry(t), "referrers-api": sigstore.NewReferrersRegistry(t)}

	for _, signing := range signings(key, identity) {
		for registry, host := range registries {
			t.Run(signing.String()+"-"+registry, func(t *testing.T) {
				t.Parallel()
				if err := signing.CanSign(); err != nil {
					t.Skip(err)
				}
				image := sigstore.PushImage(t, host, "signed/"+signing.String())
				stack.Sign(t, signing, image)
				for _, reader := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
					agree(t, signing.CanVerify(reader), stack.Verify(t, reader, signing, image))
				}
				agree(t, signing.CanVerify(sigstore.Library), verifyEvidence(t, stack, signing, read(t, signing.Form, signSuffix, image), image))
				if err := signing.CanAttest(); err != nil {
					t.Logf("no attestation: %v", err)
					return
				}
				image = sigstore.PushImage(t, host, "attested/"+signing.String())
				stack.Attest(t, signing, predicateType, []byte(`{"reviewer":"alice"}`), image)
				for _, reader := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
					agree(t, signing.CanVerifyAttestation(reader), stack.VerifyAttestation(t, reader, signing, predicateType, image))
				}
				agree(t, signing.CanVerifyAttestation(sigstore.Library),
					verifyEvidence(t, stack, signing, read(t, signing.Form, attestSuffix, image), image))
			})
		}
	}
}

// agree compares what is said of a client with what it does.
func agree(t *testing.T, said, did error) {
	t.Helper()
	switch {
	case said == nil && did != nil:
		t.Error(did)
	case said != nil && did == nil:
		t.Errorf("cosign verifies what it should not be able to: %v", said)
	}
}

// signings are all combinations, and the log entry that only old attestations
// have.
func signings(key *sigstore.KeyPair, identity sigstore.Identity) []sigstore.Signing {
	var all []sigstore.Signing
	for _, client := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
		for _, form := range []sigstore.Form{sigstore.Tag, sigstore.Referrer, sigstore.Bundle} {
			for _, log := range []sigstore.Log{sigstore.RekorV1, sigstore.RekorV2, sigstore.NoLog} {
				for _, timestamp := range []bool{false, true} {
					for _, k := range []*sigstore.KeyPair{key, nil} {
						if timestamp && log == sigstore.RekorV2 {
							continue // it is asked for one way or the other
						}
						all = append(all, sigstore.Signing{Client: client, Form: form, Log: log, Timestamp: timestamp, Key: k, Identity: identity})
					}
				}
			}
		}
	}
	for _, form := range []sigstore.Form{sigstore.Tag, sigstore.Bundle} {
		all = append(all, sigstore.Signing{Client: sigstore.Cosign2, Form: form, InToto: true, Identity: identity})
	}
	return all
}
