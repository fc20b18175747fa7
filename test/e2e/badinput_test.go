package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/test/harness"
)

// envelope is a Distribution notification with the given events.
func envelope(events ...string) []byte {
	return []byte(`{"events":[` + strings.Join(events, ",") + `]}`)
}

// event is one push as Distribution reports it; id has to be unique.
func event(id, repository, tag, digest string) string {
	return fmt.Sprintf(`{"id":%q,"timestamp":"2026-11-20T08:00:00Z","action":"push",
		"target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":%q,"length":2,"repository":%q,"tag":%q},
		"request":{"id":"r","addr":"192.0.2.1","host":"registry.example.com","method":"PUT","useragent":"docker"},"actor":{"name":"dev"}}`,
		id, digest, repository, tag)
}

// Whatever is sent to the webhook, the sender gets a clear answer, an operator
// sees it counted, and pushes that come afterwards are judged.
func TestBadNotificationsAreAnsweredCountedAndLoseNothing(t *testing.T) {
	t.Parallel()
	s := harness.NewStack(t, signedPolicy)
	const v1 = "application/vnd.docker.distribution.events.v1+json"
	digest := "sha256:" + strings.Repeat("a", 64)
	many := make([]string, 10_000)
	for i := range many {
		many[i] = event(strconv.Itoa(i), "team-a/many", "v1", digest)
	}
	for _, tt := range []struct {
		name, source, token, contentType string
		body                             []byte
		status                           int
		outcome                          string
	}{
		{"truncated JSON", "staging", harness.WebhookSecret, v1, envelope(event("1", "team-a/x", "v1", digest))[:80], 400, "malformed"},
		{"a body of 10 MiB", "staging", harness.WebhookSecret, v1, bytes.Repeat([]byte(" "), 10<<20), 413, "too_large"},
		{"10,000 events", "staging", harness.WebhookSecret, v1, envelope(many...), 413, "too_large"},
		{"a wrong secret", "staging", "guess", v1, envelope(event("2", "team-a/x", "v1", digest)), 401, "unauthorized"},
		{"no secret", "staging", "", v1, envelope(event("3", "team-a/x", "v1", digest)), 401, "unauthorized"},
		{"a short digest", "staging", harness.WebhookSecret, v1, envelope(event("4", "team-a/x", "v1", "sha256:abc")), 202, "malformed"},
		{"a digest with a path", "staging", harness.WebhookSecret, v1, envelope(event("5", "team-a/x", "v1", "sha256:../../etc/passwd")), 202, "malformed"},
		{"a malformed tag", "staging", harness.WebhookSecret, v1, envelope(event("6", "team-a/x", "v1 --", digest)), 202, "malformed"},
		{"a malformed repository", "staging", harness.WebhookSecret, v1, envelope(event("7", "../x", "v1", digest)), 202, "malformed"},
		{"an empty envelope", "staging", harness.WebhookSecret, v1, envelope(), 202, ""},
		{"a blob", "staging", harness.WebhookSecret, v1, bytes.ReplaceAll(envelope(event("8", "team-a/x", "", digest)),
			[]byte("application/vnd.oci.image.manifest.v1+json"), []byte("application/octet-stream")), 202, "ignored"},
		{"an unknown kind of manifest", "staging", harness.WebhookSecret, v1, bytes.ReplaceAll(envelope(event("9", "team-a/x", "v1", digest)),
			[]byte("application/vnd.oci.image.manifest.v1+json"), []byte("application/x-unknown")), 202, "ignored"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := s.Notifications(t, tt.source, tt.outcome)
			status, body := harness.Post(t, s.Webhooks+"/webhooks/"+tt.source, tt.token, tt.contentType, tt.body)
			if status != tt.status {
				t.Errorf("status %d, want %d: %s", status, tt.status, body)
			}
			var problem struct{ Title, Detail string }
			if status >= 400 {
				if err := json.Unmarshal(body, &problem); err != nil || problem.Title == "" {
					t.Errorf("the answer is no problem document: %s", body)
				}
			}
			if bytes.Contains(body, []byte(harness.WebhookSecret)) {
				t.Errorf("the answer tells the secret: %s", body)
			}
			if after := s.Notifications(t, tt.source, tt.outcome); tt.outcome != "" && after <= before {
				t.Errorf("notifications with outcome %s went from %d to %d", tt.outcome, before, after)
			}
		})
	}
	t.Run("a source that is not configured", func(t *testing.T) {
		if status, body := harness.Post(t, s.Webhooks+"/webhooks/elsewhere", harness.WebhookSecret, v1, envelope()); status != http.StatusNotFound {
			t.Errorf("status %d: %s", status, body)
		}
	})
	t.Run("a good event among bad ones", func(t *testing.T) {
		reference := s.Staging + "/team-a/among"
		sum := harness.Push(t, reference+":v1")
		s.Await(t, "team-a/among", sum, harness.Verdict("pending"))
		body := envelope(event("20", "team-a/x", "v1", "nonsense"), event("21", "team-a/among", "v2", sum.String()), `{"action":7}`)
		if status, answer := harness.Post(t, s.Webhooks+"/webhooks/staging", harness.WebhookSecret, v1, body); status != http.StatusAccepted && status != http.StatusBadRequest {
			t.Errorf("status %d: %s", status, answer)
		}
	})
	t.Run("afterwards a push is judged as ever", func(t *testing.T) {
		sum := harness.Push(t, s.Staging+"/team-a/afterwards:v1")
		harness.Sign(t, "tag", s.Keys.Private, s.Staging+"/team-a/afterwards@"+sum.String())
		s.Await(t, "team-a/afterwards", sum, harness.Promoted)
	})
	if strings.Contains(s.Process.Output.String(), harness.WebhookSecret) {
		t.Error("the log tells the secret")
	}
}
