package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// result is what a command printed and how it ended.
type result struct {
	status         int
	stdout, stderr string
}

// run executes a gatekeeper command.
func run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), harness.Gatekeeper(t), args...)
	c.Dir = t.TempDir()
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("gatekeeper %s: %v", strings.Join(args, " "), err)
	}
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want checks the exit status and that each text was printed.
func (r result) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d", r.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("the output does not have %q", text)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
	}
}

func TestCheckAndExplainAnswerLikeTheGate(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	stranger := harness.GenerateKeys(t, t.TempDir(), "stranger")
	config := s.Path("gatekeeper.yaml")
	image := func(name string) string { return s.Staging + "/team-a/" + name }

	signed := harness.Push(t, image("signed")+":v1")
	harness.Sign(t, "tag", s.Keys.Private, image("signed")+"@"+signed.String())
	s.Await(t, "team-a/signed", signed, harness.Promoted)
	foreign := harness.Push(t, image("foreign")+":v1")
	harness.Sign(t, "bundle", stranger.Private, image("foreign")+"@"+foreign.String())
	unsigned := harness.Push(t, image("unsigned")+":v1")
	s.Await(t, "team-a/foreign", foreign, harness.Verdict("rejected"))
	s.Await(t, "team-a/unsigned", unsigned, harness.Verdict("pending"))

	t.Run("check", func(t *testing.T) {
		run(t, "check", "--config", config, image("signed")+":v1").want(t, 0, "would be promoted")
		run(t, "check", "--config", config, image("signed")+"@"+signed.String()).want(t, 2, "tag") // a policy matches tags
		run(t, "check", "--config", config, image("foreign")+":v1").want(t, 1, "would be rejected", "ci")
		run(t, "check", "--config", config, image("unsigned")+":v1").want(t, 4, "cosign sign")
		run(t, "check", "--config", config, image("nowhere")+":v1").want(t, 3, "not found")
		run(t, "check", "--config", config, "registry.example.com/team-a/app:v1").want(t, 2, "registry.example.com", s.Staging)
		run(t, "check", "--config", config, "-o", "yaml", image("signed")+":v1").want(t, 2, "yaml")
		run(t, "check", "--config", s.Path("missing.yaml"), image("signed")+":v1").want(t, 2, "missing.yaml")
		var d harness.Decision
		r := run(t, "check", "--config", config, "-o", "json", image("foreign")+":v1")
		r.want(t, 1)
		if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
			t.Fatal(err)
		}
		wantReason(t, d, "wrong_signer")
	})
	t.Run("check records nothing", func(t *testing.T) {
		if n := len(s.Decisions(t, "repository=team-a/nowhere")); n > 0 {
			t.Errorf("%d decisions", n)
		}
	})
	t.Run("explain", func(t *testing.T) {
		run(t, "explain", "--server", s.Admin, "team-a/signed:v1").want(t, 0, "promoted", goldenName("team-a/signed:v1"))
		run(t, "explain", "--server", s.Admin, image("unsigned")+":v1").want(t, 0, "pending", "cosign sign")
		run(t, "explain", "--server", s.Admin, "team-a/foreign@"+foreign.String()).want(t, 0, "rejected")
		run(t, "explain", "--server", s.Admin, "team-a/nowhere:v1").want(t, 3, "team-a/nowhere")
		run(t, "explain", "--server", "http://127.0.0.1:1", "team-a/signed:v1").want(t, 3, "http://127.0.0.1:1", "serve")
	})
	t.Run("decisions", func(t *testing.T) {
		run(t, "decisions", "list", "--server", s.Admin, "--verdict", "rejected").want(t, 0, "team-a/foreign")
		run(t, "decisions", "list", "--server", s.Admin, "--verdict", "perhaps").want(t, 2, "perhaps")
		list := s.Decisions(t, "repository=team-a/foreign")
		id := json.Number(jsonText(t, list[0].ID)).String()
		run(t, "decisions", "show", "--server", s.Admin, id).want(t, 0, "team-a/foreign", "ci")
		run(t, "decisions", "show", "--server", s.Admin, "-o", "json", id).want(t, 0, `"evidence"`)
		run(t, "decisions", "show", "--server", s.Admin, "999999").want(t, 3, "999999")
	})
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// goldenName is how the decision names a golden image.
func goldenName(image string) string { return "golden/" + image }

func TestLintPointsAtTheMistake(t *testing.T) {
	t.Parallel()
	s := &harness.Stack{Dir: t.TempDir()}
	s.Write(t, "good.yaml", strings.Replace(signedPolicy, "keyFile: \"{{KEY}}\"", "keyFile: ci.pub", 1))
	keys := harness.GenerateKeys(t, s.Dir, "ci")
	_ = keys
	s.Write(t, "typo.yaml", strings.Replace(signedPolicy, "wait: 30m", "wiat: 30m", 1))
	s.Write(t, "private.yaml", strings.Replace(signedPolicy, "{{KEY}}", "ci.key", 1))
	s.Write(t, "torn.yaml", signedPolicy[:120]+"\n  [")
	run(t, "policy", "lint", s.Path("good.yaml")).want(t, 0)
	run(t, "policy", "lint", s.Path("typo.yaml")).want(t, 1, "typo.yaml:7:3: ", "wiat", "wait")
	run(t, "policy", "lint", s.Path("private.yaml")).want(t, 1, "private.yaml:10:", "public")
	run(t, "policy", "lint", s.Path("torn.yaml")).want(t, 1, "torn.yaml:")
	run(t, "policy", "lint", s.Path("absent.yaml")).want(t, 1, "absent.yaml")
	run(t, "policy", "lint").want(t, 2)

	s.Write(t, "config.yaml", "apiVersion: gatekeeper/v1alpha1\nkind: Configuration\nregistrys: []\n")
	run(t, "config", "lint", s.Path("config.yaml")).want(t, 1, "config.yaml:3:1: ", "registrys", "registries")
	run(t, "serve", "--config", s.Path("config.yaml")).want(t, 2, "config.yaml:3:1: ")
	run(t, "config", "schema").want(t, 0, `"$schema"`)
	run(t, "version").want(t, 0, "gatekeeper")
	run(t, "nonsense").want(t, 2, "nonsense")
}
