package sigstore

import (
	"fmt"
	"strings"
	"testing"
)

// Identity is somebody who signs without a key of their own: the subject
// alternative name and the issuer that end up in the certificate.
type Identity struct {
	Name   string // an e-mail address or the URI of a workflow
	Issuer string
	// Token is an OIDC identity token that is good for an hour.
	Token string
}

// Email is an identity by e-mail address.
func (s *Stack) Email(tb testing.TB, address string) Identity {
	tb.Helper()
	token := s.issuer.mint(tb, emailPath, address, map[string]any{"email": address, "email_verified": true})
	return Identity{Name: address, Issuer: s.issuer.url + emailPath, Token: token}
}

// Workflow is the identity of a GitHub Actions workflow by its URI, such as
// https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main.
// Fulcio writes what the token claims of the build into the certificate too.
func (s *Stack) Workflow(tb testing.TB, uri string) Identity {
	tb.Helper()
	claims, err := workflowClaims(uri)
	if err != nil {
		tb.Fatal(err)
	}
	subject := fmt.Sprintf("repo:%s:ref:%s", claims["repository"], claims["ref"])
	token := s.issuer.mint(tb, workflowPath, subject, claims)
	return Identity{Name: uri, Issuer: s.issuer.url + workflowPath, Token: token}
}

// workflowClaims are the claims of a token of GitHub Actions that Fulcio
// requires; a push of one commit runs the workflow.
func workflowClaims(uri string) (map[string]any, error) {
	const host = "https://github.com/"
	path, ref, ok := strings.Cut(strings.TrimPrefix(uri, host), "@")
	parts := strings.SplitN(path, "/", 3)
	if !strings.HasPrefix(uri, host) || !ok || len(parts) != 3 {
		return nil, fmt.Errorf("workflow %q: want %sOWNER/REPOSITORY/FILE@REF", uri, host)
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	return map[string]any{
		"job_workflow_ref":      path + "@" + ref,
		"job_workflow_sha":      commit,
		"workflow_ref":          path + "@" + ref,
		"workflow_sha":          commit,
		"workflow":              "release",
		"sha":                   commit,
		"ref":                   ref,
		"event_name":            "push",
		"repository":            parts[0] + "/" + parts[1],
		"repository_id":         "1",
		"repository_owner":      parts[0],
		"repository_owner_id":   "2",
		"repository_visibility": "public",
		"runner_environment":    "github-hosted",
		"run_id":                "3",
		"run_attempt":           "1",
	}, nil
}
