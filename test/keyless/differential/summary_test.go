package differential_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
	"github.com/golden-gatekeeper/gatekeeper/test/keyless/sigstore"
)

const (
	summaryType = "https://slsa.dev/verification_summary/v1"
	gatekeepers = "gatekeeper@example.com"
)

// ownWord is a gatekeeper that signs its summaries without a key.
type ownWord struct {
	*gate

	stack                     *sigstore.Stack
	log                       sigstore.Log
	staging, golden           string // hosts
	developer                 sigstore.Signing
	fulcio, rekor, timestamps *outage
}

// newOwnWord starts one that logs to a Rekor. A developer's signature by a key
// lets an image through.
func newOwnWord(t *testing.T, log sigstore.Log) *ownWord {
	t.Helper()
	stack := sigstore.Start(t)
	key := sigstore.NewKeyPair(t)
	o := &ownWord{
		gate: newGate(t), stack: stack, log: log, golden: harness.StartRegistry(t, "", ""),
		developer: sigstore.Signing{Client: sigstore.Cosign3, Form: sigstore.Bundle, Log: sigstore.NoLog, Key: key},
	}
	o.staging = harness.StartRegistry(t, o.Relay.URL+"/webhooks/staging", harness.WebhookSecret)
	addresses := stack.Addresses()
	o.fulcio, o.timestamps = newOutage(t, addresses.Fulcio), newOutage(t, addresses.Timestamps)
	var services string
	if log == sigstore.RekorV2 {
		o.rekor = newOutage(t, addresses.RekorV2)
		text, err := os.ReadFile(stack.SigningConfig)
		if err != nil {
			t.Fatal(err)
		}
		o.Write(t, "signing_config.json", strings.NewReplacer(
			addresses.Fulcio, o.fulcio.URL, addresses.RekorV2, o.rekor.URL, addresses.Timestamps, o.timestamps.URL).Replace(string(text)))
		services = fmt.Sprintf("signingConfigFile: %q", o.Path("signing_config.json"))
	} else {
		o.rekor = newOutage(t, addresses.RekorV1)
		services = fmt.Sprintf("fulcioURL: %q, rekorURL: %q", o.fulcio.URL, o.rekor.URL)
	}
	id := stack.Email(t, gatekeepers)
	o.Write(t, "token", id.Token)
	o.start(t, settings{
		registries: map[string]string{"staging": o.staging}, golden: o.golden,
		policies: []string{signaturePolicy("release", "staging", fmt.Sprintf("{keyFile: %q}", key.Public))},
		signing: fmt.Sprintf("{keyless: {%s, identityTokenFile: %q, trustedRootFile: %q, issuer: %q, identity: %q}}",
			services, o.Path("token"), stack.TrustedRoot, id.Issuer, id.Name),
	})
	return o
}

// The gatekeeper's own word is signed without a key as well: read by both
// cosigns and by an audit, and by nobody taken for somebody else's.
func TestSummariesAreSignedWithoutAKey(t *testing.T) {
	t.Parallel()
	for _, log := range []sigstore.Log{sigstore.RekorV1, sigstore.RekorV2} {
		t.Run(log.String(), func(t *testing.T) {
			t.Parallel()
			o := newOwnWord(t, log)
			image := o.push(t, "app")
			o.awaitGolden(t, image)
			o.readByCosign(t, image)
			o.audited(t, "app")
			o.besideOlderSignatures(t)
		})
	}
}

// A promotion waits for the services that sign, says which one it waits for,
// and leaves no golden tag meanwhile.
func TestPromotionsWaitForWhatSignsThem(t *testing.T) {
	t.Parallel()
	for _, log := range []sigstore.Log{sigstore.RekorV1, sigstore.RekorV2} {
		t.Run(log.String(), func(t *testing.T) {
			t.Parallel()
			o := newOwnWord(t, log)
			fulcio, rekor := []string{"Fulcio at " + o.fulcio.URL}, []string{"Rekor at " + o.rekor.URL}
			o.outage(t, "fulcio-broken", o.fulcio, broken, append(fulcio, "503", "out of order"))
			o.outage(t, "fulcio-gone", o.fulcio, gone, append(fulcio, "EOF"))
			o.outage(t, "rekor-broken", o.rekor, broken, append(rekor, "503", "out of order"))
			o.outage(t, "rekor-gone", o.rekor, gone, append(rekor, "EOF"))
			if log == sigstore.RekorV2 {
				o.outage(t, "timestamps-broken", o.timestamps, broken, []string{"timestamp authority", o.timestamps.URL, "503"})
			}
			o.token(t)
		})
	}
}

// A service that accepts connections and says nothing holds up what it signs,
// and no longer than half a minute at a time; what needs no signature goes on.
func TestAServiceThatSaysNothingHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	o := newOwnWord(t, sigstore.RekorV1)
	o.fulcio.becomes(silent)
	var images []string
	for i := range 20 { // more than there are workers
		repository := "app"
		if i > 0 {
			repository = fmt.Sprintf("app%d", i)
		}
		images = append(images, o.push(t, repository))
	}
	o.awaitProblem(t, images[0], []string{"no signature within 30s", "Fulcio at " + o.fulcio.URL})
	unsigned := sigstore.PushImage(t, o.staging, "unsigned")
	o.Await(t, "unsigned", digestOf(t, unsigned), harness.Verdict("pending"))
	o.fulcio.becomes(up)
	for _, image := range images {
		o.awaitTag(t, image)
		o.awaitGolden(t, image)
	}
}

// awaitTag waits for the golden tag longer than awaitGolden does: after several
// failures, the next attempt may be half a minute away.
func (o *ownWord) awaitTag(t *testing.T, image string) {
	t.Helper()
	tag := o.golden + "/release/" + repositoryOf(image) + ":v1"
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for harness.DigestOf(t, tag) == "" {
		select {
		case <-deadline:
			t.Fatalf("%s is not there", tag)
		case <-tick.C:
		}
	}
}

// outage lets a service fail while an image is to be promoted.
func (o *ownWord) outage(t *testing.T, repository string, service *outage, m mode, want []string) {
	t.Helper()
	service.becomes(m)
	image := o.push(t, repository)
	o.awaitProblem(t, image, want)
	service.becomes(up)
	o.awaitGolden(t, image)
}

// token spoils the token file, and renews it while the gatekeeper runs.
func (o *ownWord) token(t *testing.T) {
	t.Helper()
	expired := o.stack.ExpiredEmail(t, gatekeepers).Token
	foreign := sigstore.Start(t).Email(t, gatekeepers).Token
	for name, c := range map[string]struct {
		spoil func(file string) error
		want  []string
	}{
		"absent":            {os.Remove, []string{"identity token", "token: no such file"}},
		"expired":           {func(file string) error { return os.WriteFile(file, []byte(expired), 0o600) }, []string{"identity token", "expired at"}},
		"empty":             {func(file string) error { return os.Truncate(file, 0) }, []string{"identity token", "no JSON Web Token"}},
		"of another issuer": {func(file string) error { return os.WriteFile(file, []byte(foreign), 0o600) }, []string{"Fulcio at " + o.fulcio.URL, "returned 40"}},
		"of somebody else": {func(file string) error {
			return os.WriteFile(file, []byte(o.stack.Email(t, "mallory@example.com").Token), 0o600)
		}, []string{"does not verify", "signed by somebody else"}},
	} {
		if err := c.spoil(o.Path("token")); err != nil {
			t.Fatal(err)
		}
		image := o.push(t, "token-"+strings.ReplaceAll(name, " ", "-"))
		o.awaitProblem(t, image, c.want)
		o.Write(t, "token", o.stack.Email(t, gatekeepers).Token)
		o.awaitGolden(t, image)
	}
}

// push pushes an image that a developer signed.
func (o *ownWord) push(t *testing.T, repository string) string {
	t.Helper()
	image := sigstore.PushImage(t, o.staging, repository)
	o.stack.Sign(t, o.developer, image)
	return image
}

// inGolden is the reference of a promoted image, by digest.
func (o *ownWord) inGolden(image string) string {
	return strings.Replace(image, o.staging, o.golden+"/release", 1)
}

// awaitGolden waits for the golden tag and counts the summaries.
func (o *ownWord) awaitGolden(t *testing.T, image string) {
	t.Helper()
	repository := repositoryOf(image)
	digest := digestOf(t, image)
	o.Await(t, repository, digest, harness.Promoted)
	golden := o.inGolden(image)
	if there := harness.DigestOf(t, o.golden+"/release/"+repository+":v1"); there != digest.String() {
		t.Errorf("golden %s:v1 is %q, want %s", repository, there, digest)
	}
	if types := bundles(t, golden); types[summaryType] != 1 {
		t.Errorf("%s has bundles of these types: %v; want one summary", golden, types)
	}
}

// awaitProblem waits until the promotion is tried again because of something,
// and checks that golden has no tag meanwhile.
func (o *ownWord) awaitProblem(t *testing.T, image string, want []string) {
	t.Helper()
	repository := repositoryOf(image)
	var last struct{ State, Problem string }
	deadline := time.After(time.Minute)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for !told(last.State, last.Problem, want) {
		select {
		case <-deadline:
			t.Fatalf("%s: %q does not say %q", repository, last, want)
		case <-tick.C:
		}
		status, body := harness.Get(t, o.Admin+"/api/v1/images?image="+url.QueryEscape(repository+":v1"))
		if status == http.StatusNotFound {
			continue
		}
		if err := json.Unmarshal(body, &last); err != nil || status != http.StatusOK {
			t.Fatalf("status of %s: %d %s (%v)", repository, status, body, err)
		}
	}
	t.Logf("%s: %s", repository, last.Problem)
	if there := harness.DigestOf(t, o.golden+"/release/"+repository+":v1"); there != "" {
		t.Errorf("%s is golden without a summary: %s", repository, there)
	}
}

func told(state, problem string, want []string) bool {
	for _, w := range want {
		if !strings.Contains(problem, w) {
			return false
		}
	}
	return state == "retrying"
}

// readByCosign asks both cosigns for the summary: as the gatekeeper's, and as
// somebody else's.
func (o *ownWord) readByCosign(t *testing.T, image string) {
	t.Helper()
	own := o.stack.Email(t, gatekeepers)
	for who, c := range map[string]struct {
		by   sigstore.Identity
		want bool
	}{
		"the gatekeeper":   {own, true},
		"somebody else":    {sigstore.Identity{Name: "mallory@example.com", Issuer: own.Issuer}, false},
		"another issuer's": {sigstore.Identity{Name: own.Name, Issuer: "https://issuer.example.com"}, false},
	} {
		for _, client := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
			signing := sigstore.Signing{Client: client, Form: sigstore.Bundle, Log: o.log, Identity: c.by}
			err := o.stack.VerifyAttestation(t, client, signing, summaryType, o.inGolden(image))
			if (err == nil) != c.want {
				t.Errorf("%s, as of %s: %v", client, who, err)
			}
		}
	}
	for _, client := range []sigstore.Client{sigstore.Cosign2, sigstore.Cosign3} {
		if err := o.stack.Verify(t, client, o.developer, o.inGolden(image)); err != nil {
			t.Errorf("the developer's signature beside it: %v", err)
		}
	}
}

// besideOlderSignatures promotes an image whose signature has the older form.
// The summary is a bundle all the same, and hides that signature from cosign:
// the third generation finds it when told to, the second in no way.
func (o *ownWord) besideOlderSignatures(t *testing.T) {
	t.Helper()
	o.developer.Form = sigstore.Tag
	image := o.push(t, "older")
	o.awaitGolden(t, image)
	told, untold := o.developer, o.developer
	untold.Form = sigstore.Bundle
	for client, finds := range map[sigstore.Client]bool{sigstore.Cosign2: false, sigstore.Cosign3: true} {
		if err := o.stack.Verify(t, client, told, o.inGolden(image)); (err == nil) != finds {
			t.Errorf("%s finds the older signature beside the summary: want %t: %v", client, finds, err)
		}
		if o.stack.Verify(t, client, untold, o.inGolden(image)) == nil {
			t.Errorf("%s finds the older signature beside the summary without being told", client)
		}
		if err := o.stack.Verify(t, client, told, image); err != nil {
			t.Errorf("%s: in staging, where no summary is: %v", client, err)
		}
	}
}

// audited audits a golden repository as it was promoted, and after tags were
// set by hand.
func (o *ownWord) audited(t *testing.T, repository string) {
	t.Helper()
	golden := o.golden + "/release/" + repository
	if status, out := o.audit(t, golden); status != 0 {
		t.Errorf("audit of what was promoted: status %d\n%s", status, out)
	}
	ref, err := name.ParseReference(golden + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := remote.Get(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Tag(ref.Context().Tag("by-hand"), promoted, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	if status, out := o.audit(t, golden); status != 1 || !strings.Contains(out, "by-hand") || !strings.Contains(out, "bypassed") {
		t.Errorf("audit with a tag by hand: status %d\n%s", status, out)
	}
	sigstore.PushImage(t, o.golden, "release/stranger")
	if status, out := o.audit(t, o.golden+"/release/stranger"); status != 1 {
		t.Errorf("audit of an image by hand: status %d\n%s", status, out)
	}
}

// audit runs gatekeeper audit beside the service.
func (o *ownWord) audit(t *testing.T, repository string) (status int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Gatekeeper(t), "audit", "--config", o.Path("gatekeeper.yaml"), repository)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), string(text)
	case err != nil:
		t.Fatalf("audit %s: %v", repository, err)
	}
	return 0, string(text)
}

// bundles counts the Sigstore bundles that refer to an image, by the type of
// their predicates.
func bundles(t *testing.T, image string) map[string]int {
	t.Helper()
	ref, err := name.NewDigest(image)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("referrers of %s: %v", image, err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatalf("referrers of %s: %v", image, err)
	}
	types := map[string]int{}
	for _, d := range list.Manifests {
		if strings.HasPrefix(d.ArtifactType, "application/vnd.dev.sigstore.bundle") {
			types[annotation(t, ref.Context().Digest(d.Digest.String()), d)]++
		}
	}
	return types
}

// annotation is the predicate type that a bundle's manifest names.
func annotation(t *testing.T, ref name.Digest, d v1.Descriptor) string {
	t.Helper()
	const key = "dev.sigstore.bundle.predicateType"
	if kind, ok := d.Annotations[key]; ok {
		return kind
	}
	made, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("read %s: %v", ref, err)
	}
	manifest, err := made.Manifest()
	if err != nil {
		t.Fatalf("read %s: %v", ref, err)
	}
	return manifest.Annotations[key]
}

// repositoryOf is the repository of an image in staging.
func repositoryOf(image string) string {
	_, path, _ := strings.Cut(image, "/")
	repository, _, _ := strings.Cut(path, "@")
	return repository
}
