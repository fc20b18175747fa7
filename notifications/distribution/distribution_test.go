package distribution_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sender "github.com/distribution/distribution/v3/notifications"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/notifications/distribution"
)

// what is one event, in short: "push repository:tag", "ignored", "malformed".
func what(e notifications.Event) string {
	switch {
	case e.Err != nil:
		return "malformed"
	case e.Ignored != "":
		return "ignored"
	case e.Push.Tag != "":
		return "push " + e.Push.Repository + ":" + e.Push.Tag
	}
	return "push " + e.Push.Repository + "@"
}

// The samples were captured from Distribution 2.8.3 and 3.1.2; those named
// docs and fixture come from its documentation and tests, whose digests are
// not all well-formed.
func TestCapturedNotifications(t *testing.T) {
	want := map[string][]string{
		"multi-event-envelope.docs":         {"push library/test@", "ignored", "ignored"},
		"multi-event-envelope.test-fixture": nil, // looked at below
		"pull.docs":                         {"ignored"},
		"v2-delete-blob":                    {"ignored"},
		"v2-delete-manifest":                {"ignored"},
		"v2-mount-blob":                     {"ignored"},
		"v2-pull-manifest-get-digest":       {"ignored"},
		"v2-pull-manifest-get-tag":          {"ignored"},
		"v2-push-blob-config":               {"ignored"},
		"v2-push-blob-layer":                {"ignored"},
		"v2-push-manifest-by-digest":        {"push library/test@"},
		"v2-push-manifest-tag":              {"push library/test:v1"},
		"v2-push-manifest-tag-repeat":       {"push library/test:v1"},
		"v2-push-referrer-by-digest":        {"push library/test@"},
		"v3-delete-blob":                    {"ignored"},
		"v3-delete-manifest":                {"ignored"},
		"v3-mount-blob":                     {"ignored"},
		"v3-pull-manifest-get-digest":       {"ignored"},
		"v3-pull-manifest-get-tag":          {"ignored"},
		"v3-pull-manifest-head-tag":         {"ignored"},
		"v3-push-blob-config":               {"ignored"},
		"v3-push-blob-layer":                {"ignored"},
		"v3-push-docker-manifest-tag":       {"push library/test:docker1"},
		"v3-push-index-tag":                 {"push library/test:multi"},
		"v3-push-manifest-by-digest":        {"push library/test@"},
		"v3-push-manifest-tag":              {"push library/test:v1"},
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d samples, %v; want %d", len(files), err, len(want))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			events, err := distribution.Decoder{}.Decode(nil, body)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range events {
				got = append(got, what(e))
			}
			if name == "multi-event-envelope.test-fixture" {
				for _, g := range got {
					if strings.HasPrefix(g, "push") {
						t.Errorf("an event with a digest of 18 characters is a %s", g)
					}
				}
				return
			}
			if diff := cmp.Diff(want[name], got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

const sum = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestBodiesThatAreNoEnvelope(t *testing.T) {
	for _, body := range []string{"", "null", "[]", "{}", `"events"`, `{"events":[`, `{"events":{}}`, `{"events":[]} x`, `{"events":[]}{"events":[]}`} {
		if _, err := (distribution.Decoder{}).Decode(nil, []byte(body)); err == nil {
			t.Errorf("%q is decoded", body)
		}
	}
}

func TestOneEvent(t *testing.T) {
	good := `{"id":"1","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + sum + `","repository":"team/app","tag":"v1"},"request":{"useragent":"docker/28"}}`
	for _, tt := range []struct{ name, old, new, want string }{
		{"as it should be", "", "", "push team/app:v1"},
		{"a field nobody knows", `"id"`, `"new":{"x":[]},"id"`, "push team/app:v1"},
		{"our own copy", "docker/28", "gatekeeper/1.0", "ignored"},
		{"a user agent that only contains our name", "docker/28", "x gatekeeper/1.0", "push team/app:v1"},
		{"no action", `"action":"push",`, "", "malformed"},
		{"another action", "push", "pull", "ignored"},
		{"a blob", "application/vnd.oci.image.manifest.v1+json", "application/octet-stream", "ignored"},
		{"an unknown media type", "application/vnd.oci.image.manifest.v1+json", "application/x-new", "ignored"},
		{"no digest", sum, "", "malformed"},
		{"SHA-512", sum, "sha512:" + strings.Repeat("a", 128), "malformed"},
		{"an upper-case digest", sum, strings.ToUpper(sum), "malformed"},
		{"a path as digest", sum, "sha256:../../" + strings.Repeat("a", 58), "malformed"},
		{"a path as repository", "team/app", "../app", "malformed"},
		{"a host in the repository", "team/app", "registry.example.com:443/team/app", "malformed"},
		{"an upper-case repository", "team/app", "Team/app", "malformed"},
		{"no repository", "team/app", "", "malformed"},
		{"a long repository", "team/app", strings.Repeat("a", 256), "malformed"},
		{"a tag with spaces", `"v1"`, `"v 1"`, "malformed"},
		{"a tag with a line feed", `"v1"`, `"v1\n"`, "malformed"},
		{"a long tag", `"v1"`, `"` + strings.Repeat("a", 129) + `"`, "malformed"},
		{"a number as tag", `"v1"`, `1`, "malformed"},
		{"a time that is none", `"id":"1"`, `"timestamp":"yesterday"`, "malformed"},
		{"no object", good, `7`, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(good, tt.old, tt.new, 1)
			if text == good && tt.old != "" {
				t.Fatal("the case changes nothing")
			}
			events, err := distribution.Decoder{OwnUserAgent: "gatekeeper/"}.Decode(nil, []byte(`{"events":[`+text+`,`+good+`]}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := what(events[0]); got != tt.want {
				t.Errorf("is %s, want %s: %v", got, tt.want, events[0].Err)
			}
			if got := what(events[1]); got != "push team/app:v1" {
				t.Errorf("the event beside it is %s", got)
			}
		})
	}
}

// accepted is a sink that passes on what it takes.
type accepted chan notifications.Push

func (a accepted) Accept(ctx context.Context, pushes []notifications.Push) (notifications.Receipt, error) {
	for _, p := range pushes {
		select {
		case a <- p:
		case <-ctx.Done():
			return notifications.Receipt{}, ctx.Err()
		}
	}
	return notifications.Receipt{Accepted: len(pushes)}, nil
}

// What Distribution's own sender writes is what arrives.
func TestDistributionsOwnSender(t *testing.T) {
	pushes := make(accepted)
	receiver := httptest.NewServer(notifications.NewHandler(notifications.Deps{
		Sources: []notifications.Source{{
			Name: "staging", Secret: "s", Decoder: distribution.Decoder{}, ContentTypes: distribution.ContentTypes(),
		}},
		Sink:  pushes,
		Count: func(string, notifications.Outcome, int) {},
		Log:   slog.New(slog.NewTextHandler(t.Output(), nil)),
	}))
	t.Cleanup(receiver.Close)
	endpoint := sender.NewEndpoint("gatekeeper", receiver.URL+"/webhooks/staging", sender.EndpointConfig{
		Headers: map[string][]string{"Authorization": {"Bearer s"}}, Timeout: 5 * time.Second, Threshold: 1, Backoff: time.Millisecond,
	})
	event := sender.Event{ID: "id-1", Timestamp: time.Now().UTC(), Action: sender.EventActionPush}
	event.Target.MediaType = "application/vnd.oci.image.index.v1+json"
	event.Target.Digest = digest.Digest(sum)
	event.Target.Repository, event.Target.Tag = "team/app", "v1"
	event.Actor.Name = "dev"
	if err := endpoint.Write(event); err != nil {
		t.Fatal(err)
	}
	want := notifications.Push{
		Source: "staging", Repository: "team/app", Tag: "v1", Digest: sum, MediaType: event.Target.MediaType,
		EventID: "id-1", Actor: "dev", Time: event.Timestamp,
	}
	if diff := cmp.Diff(want, <-pushes, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := endpoint.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := distribution.Decoder{}.Decode(nil, body)
		if err != nil {
			return
		}
		for _, e := range events {
			if e.Err == nil && e.Ignored == "" && e.Push.Validate() != nil {
				t.Errorf("an invalid push comes through: %+v", e.Push)
			}
		}
	})
}
