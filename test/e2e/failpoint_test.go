package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
	"github.com/golden-gatekeeper/gatekeeper/test/postgres"
)

// killedPolicy asks for all that a promotion can consist of.
const killedPolicy = `apiVersion: gatekeeper/v1alpha1
kind: PromotionPolicy
metadata: {name: killed}
spec:
  from: staging
  match: {repositories: ["{{OWN}}"], tags: ["v*"]}
  wait: 30m
  signatures: [{name: ci, anyOf: [{keyFile: "{{KEY}}"}]}]
  attestations:
    - {name: tests, predicateType: "https://in-toto.io/attestation/test-result/v0.1", signedBy: [ci], expression: 'predicate.result == "PASSED"'}
  promote:
    to: golden
    repository: "{{ .Repository }}"
    tags: ["{{ .Tag }}", "{{ .Tag }}-golden.{{ .Date }}"]
    channels: ["stable"]
`

// Wherever in a promotion the service is killed, it ends as it would have
// without: the same tags in golden, the same referrers and one summary, one
// decision; and staging is as it was.
func TestAKillAtAnyStepOfAPromotionChangesNothing(t *testing.T) {
	t.Parallel()
	k := newKills(t)
	names := k.steps(t)
	for _, e := range []struct {
		name    string
		storage func(t *testing.T) func() string
		choose  func(steps []string) []string
	}{
		{"SQLite", func(*testing.T) func() string { return func() string { return "" } }, slices.Clone[[]string]},
		// How often a step of a copy is reached has nothing to do with the
		// engine.
		{"PostgreSQL", func(t *testing.T) func() string {
			t.Helper()
			server := postgres.Start(t)
			return func() string { return server.NewDatabase(t) }
		}, firstAndLast},
	} {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			storage := e.storage(t)
			undisturbed := k.victim(t, e.name, "none", storage())
			undisturbed.serve(t, "trace")
			undisturbed.notify(t)
			want := undisturbed.outcome(t)
			undisturbed.Process.Stop(t)
			if problem := want.incomplete(); problem != "" {
				t.Fatalf("even without a kill %s: %+v", problem, want)
			}
			victims, steps := []*victim{undisturbed}, e.choose(undisturbed.reached(t, names))
			t.Logf("%d steps: %s", len(steps), strings.Join(steps, " "))
			for group := range slices.Chunk(steps, atATime) {
				killed := k.kill(t, e.name, group, storage)
				for _, v := range killed {
					v.serve(t, "")
					v.notify(t)
				}
				for _, v := range killed {
					if diff := cmp.Diff(want, v.outcome(t)); diff != "" {
						t.Errorf("killed at %s, it ends otherwise (-undisturbed +killed):\n%s", v.step, diff)
					}
					v.Process.Stop(t)
				}
				victims = append(victims, killed...)
			}
			k.audit(t, victims)
		})
	}
}

// atATime is how many services are killed before they are started again: with
// PostgreSQL the work of a dead one is nobody's only after some seconds, which
// they wait for together.
const atATime = 12

// kill has one service for each step run until it is killed there.
func (k *kills) kill(t *testing.T, engine string, steps []string, storage func() string) []*victim {
	t.Helper()
	var killed []*victim
	for _, step := range steps {
		v := k.victim(t, engine, step, storage())
		v.serve(t, step)
		v.notify(t)
		if v.awaitDeath(t) {
			killed = append(killed, v)
		}
	}
	return killed
}

// kills is what all victims share: the registries, and a repository in staging
// with a signed and attested image that theirs are copies of.
type kills struct {
	program         string
	staging, golden string
	dir             *harness.Stack // keeps the keys
	own             string         // private key that the services sign with
	model           string
	digest          string
}

func newKills(t *testing.T) *kills {
	t.Helper()
	k := &kills{program: harness.Killable(t), staging: harness.StartRegistry(t, "", ""), golden: harness.StartRegistry(t, "", ""), dir: &harness.Stack{Dir: t.TempDir()}}
	k.dir.Keys, k.own = harness.GenerateKeys(t, k.dir.Dir, "ci"), plainKey(t, k.dir)
	k.model = k.staging + "/model/app"
	k.digest = harness.Push(t, k.model+":v1").String()
	image := k.model + "@" + k.digest
	harness.Sign(t, "tag", k.dir.Keys.Private, image)
	k.dir.Write(t, "predicate.json", `{"result":"PASSED"}`)
	harness.Cosign(t, "attest", "--key", k.dir.Keys.Private, "--tlog-upload=false", "--yes", "--allow-http-registry", "--new-bundle-format",
		"--type", "https://in-toto.io/attestation/test-result/v0.1", "--predicate", k.dir.Path("predicate.json"), image)
	return k
}

// plainKey writes a private key that is not encrypted: each start would spend
// most of its time on the password.
func plainKey(t *testing.T, dir *harness.Stack) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir.Write(t, "gatekeeper.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return dir.Path("gatekeeper.key")
}

// steps asks the product for the names of the steps where it can be killed.
func (k *kills) steps(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), k.program, "failpoints").Output()
	if err != nil {
		t.Fatalf("gatekeeper failpoints: %v", err)
	}
	names := strings.Fields(string(out))
	if len(names) == 0 {
		t.Fatal("gatekeeper failpoints names none")
	}
	return names
}

// victim is a service that is killed at a step, with a repository of its own.
type victim struct {
	*harness.Stack

	step       string
	repository string
	digest     string
	reported   bool
	staged     map[string]string // what staging had before
}

func (k *kills) victim(t *testing.T, engine, step, storage string) *victim {
	t.Helper()
	v := &victim{
		Stack: &harness.Stack{
			Dir: t.TempDir(), Relay: harness.NewRelay(t), Staging: k.staging, Golden: k.golden, Keys: k.dir.Keys, Program: k.program,
			Storage: storage, Settings: fmt.Sprintf("signing: {key: %q}\n", k.own),
		},
		step: step, digest: k.digest,
		repository: strings.ToLower(engine) + "/" + strings.Map(func(r rune) rune {
			if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", r) {
				return r
			}
			return '-'
		}, strings.ToLower(step)),
	}
	// The registries are everybody's, and what no notification reports is found
	// too: each has its own repository alone to promote.
	v.Configure(t, strings.ReplaceAll(killedPolicy, "{{OWN}}", v.repository))
	for tag := range tagsOf(t, k.model) {
		copyTag(t, k.model+":"+tag, k.staging+"/"+v.repository+":"+tag)
	}
	v.staged = tagsOf(t, k.staging+"/"+v.repository)
	return v
}

// serve starts the service, to be killed at a step when there is one.
func (v *victim) serve(t *testing.T, step string) {
	t.Helper()
	v.Env = nil
	if step != "" {
		v.Env = []string{"GATEKEEPER_FAILPOINT=" + step}
	}
	v.Serve(t)
}

// notify reports the push once, as a registry does: until it is accepted, and
// not again.
func (v *victim) notify(t *testing.T) {
	t.Helper()
	if v.reported {
		return
	}
	body := fmt.Sprintf(`{"events":[{"id":"the push","timestamp":"2026-11-20T08:00:00Z","action":"push","target":{
		"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":%q,"repository":%q,"tag":"v1"},"request":{"useragent":"docker"}}]}`,
		v.digest, v.repository)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.Webhooks+"/webhooks/staging", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+harness.WebhookSecret)
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		if len(v.Env) == 0 {
			t.Errorf("report the push to %s: %v", v.repository, err)
		}
		return // it was killed before it could answer
	}
	if v.reported = resp.StatusCode == http.StatusAccepted; !v.reported {
		t.Errorf("report the push to %s: %s", v.repository, resp.Status)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

// reached lists the steps of a traced promotion, each as often as it was
// reached: NAME:1, NAME:2 and so on. All of the names have to be among them.
func (v *victim) reached(t *testing.T, names []string) []string {
	t.Helper()
	times := map[string]int{}
	var steps []string
	for line := range strings.Lines(v.Process.Output.String()) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "reached "); ok {
			times[name]++
			steps = append(steps, fmt.Sprintf("%s:%d", name, times[name]))
		}
	}
	for _, name := range names {
		if times[name] == 0 {
			t.Errorf("the promotion does not reach %s", name)
		}
	}
	return steps
}

// firstAndLast leaves of each step the first time and the last.
func firstAndLast(steps []string) []string {
	last := map[string]string{}
	for _, step := range steps {
		name, _, _ := strings.Cut(step, ":")
		last[name] = step
	}
	return slices.DeleteFunc(slices.Clone(steps), func(step string) bool {
		name, times, _ := strings.Cut(step, ":")
		return times != "1" && step != last[name]
	})
}

// awaitDeath waits until the service has killed itself.
func (v *victim) awaitDeath(t *testing.T) bool {
	t.Helper()
	select {
	case <-v.Process.Exited:
	case <-time.After(30 * time.Second):
		t.Errorf("%s is never reached", v.step)
		v.Process.Stop(t)
		return false
	}
	if status, ok := v.Process.Cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("%s: it was not killed, it ended with %v", v.step, v.Process.Cmd.ProcessState)
		return false
	}
	return true
}

// outcome is what a promotion leaves behind.
type outcome struct {
	State     string
	Verdicts  []string
	Golden    map[string]string // tags of the image
	Recorded  []string          // tags on record
	Referrers []string          // in golden: digests, or what is written anew each time
	Staged    bool              // staging is as it was
}

// incomplete says what is missing of a whole promotion.
func (o outcome) incomplete() string {
	switch {
	case o.State != "promoted" || !slices.Equal(o.Verdicts, []string{"promoted"}):
		return "the push is not promoted, once"
	case len(o.Golden) != 4: // the three tags and the signature's
		return "golden has other tags"
	case len(o.Recorded) != 3:
		return "other tags are on record"
	case len(o.Referrers) != 2 || !slices.Contains(o.Referrers, summaryType):
		return "golden has other referrers"
	case !o.Staged:
		return "staging has changed"
	}
	return ""
}

const (
	summaryType   = "https://slsa.dev/verification_summary/v1"
	predicateType = "dev.sigstore.bundle.predicateType" // annotation of a bundle's manifest
)

// outcome waits for the end of the promotion and looks at what there is.
func (v *victim) outcome(t *testing.T) outcome {
	t.Helper()
	var o outcome
	hash, err := v1.NewHash(v.digest)
	if err != nil {
		t.Fatal(err)
	}
	v.Await(t, v.repository, hash, harness.Promoted)
	o.State = v.settle(t)
	for _, d := range v.Decisions(t, "repository="+url.QueryEscape(v.repository)) {
		o.Verdicts = append(o.Verdicts, d.Verdict)
		for _, g := range d.Golden {
			o.Recorded = append(o.Recorded, undated(g.Tag))
		}
	}
	slices.Sort(o.Recorded)
	golden := v.Golden + "/" + v.repository
	o.Golden = map[string]string{}
	for tag, digest := range tagsOf(t, golden) {
		if tag == strings.Replace(v.digest, ":", "-", 1) {
			o.Referrers = referrersOf(t, golden+":"+tag)
		} else {
			o.Golden[undated(tag)] = digest
		}
	}
	o.Staged = cmp.Equal(v.staged, tagsOf(t, v.Staging+"/"+v.repository))
	return o
}

// settle waits until the push is nobody's work any more.
func (v *victim) settle(t *testing.T) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		status, body := harness.Get(t, v.Admin+"/api/v1/images?image="+url.QueryEscape(v.repository+":v1"))
		var image struct{ State string }
		if err := json.Unmarshal(body, &image); status != http.StatusOK || err != nil {
			t.Fatalf("ask about %s: %d %s", v.repository, status, body)
		}
		if !slices.Contains([]string{"queued", "judging", "retrying"}, image.State) {
			return image.State
		}
		select {
		case <-tick.C:
		case <-deadline:
			return image.State
		}
	}
}

// undated leaves the day out of a tag: it may be midnight.
func undated(tag string) string {
	before, _, dated := strings.Cut(tag, "-golden.")
	if dated {
		return before + "-golden.DATE"
	}
	return tag
}

// audit has the product look at all that became golden.
func (k *kills) audit(t *testing.T, victims []*victim) {
	t.Helper()
	args := []string{"audit", "--config", victims[0].Path("gatekeeper.yaml")}
	for _, v := range victims {
		args = append(args, k.golden+"/"+v.repository)
	}
	if out, err := exec.CommandContext(t.Context(), k.program, args...).CombinedOutput(); err != nil {
		t.Errorf("gatekeeper audit: %v\n%s", err, out)
	}
}

// tagsOf lists the tags of a repository with what they point to.
func tagsOf(t *testing.T, repository string) map[string]string {
	t.Helper()
	repo, err := name.NewRepository(repository, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	names, err := remote.List(repo, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range names {
		tags[tag] = harness.DigestOf(t, repository+":"+tag)
	}
	return tags
}

// referrersOf reads a list of referrers under a fallback tag: the digests, and
// the predicate's type of a summary, whose digest is never the same.
func referrersOf(t *testing.T, list string) []string {
	t.Helper()
	ref, err := name.ParseReference(list, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries.Manifests {
		img, err := index.Image(entry.Digest)
		if err != nil {
			t.Fatal(err)
		}
		body, err := img.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, fmt.Appendf(nil, `"%s":"%s"`, predicateType, summaryType)) {
			all = append(all, summaryType)
		} else {
			all = append(all, entry.Digest.String())
		}
	}
	slices.Sort(all)
	return all
}
