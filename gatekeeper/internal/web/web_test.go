package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web/client"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

func moment() time.Time { return time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC) }

// rejected is a decision about an image with a hostile name.
func rejected() gatekeeper.Decision {
	return gatekeeper.Decision{
		ID: 7, Verdict: policy.VerdictRejected, Mode: policy.ModeEnforce, DecidedAt: moment(), Took: time.Second,
		Push: gatekeeper.Push{ID: 3, Source: "staging", Repository: "team-a/<script>alert(1)</script>", Tag: "v1", Digest: "sha256:abc", ReceivedAt: moment(), Actor: "\u202edev"},
		Results: []policy.Result{{Policy: "services", Mode: policy.ModeEnforce, Verdict: policy.VerdictRejected, Bases: []policy.BuiltOn{{Platform: "linux/amd64", Repository: "base/debian", Behind: 1}}, Findings: []policy.Finding{
			{Check: policy.CheckSignatures, Rule: "ci", Outcome: policy.OutcomeFail, Reason: policy.ReasonAbsent, Found: "no <b>signature</b>", Expected: "one", Remedy: "sign"},
		}}},
	}
}

// record is a journal with one decision.
type record struct {
	mu    sync.Mutex
	query gatekeeper.DecisionQuery
	err   error
}

func (r *record) Decisions(_ context.Context, q gatekeeper.DecisionQuery) ([]gatekeeper.Decision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.query = q
	return []gatekeeper.Decision{rejected()}, r.err
}

func (r *record) Decision(_ context.Context, id int64) (gatekeeper.Decision, error) {
	if id != 7 {
		return gatekeeper.Decision{}, fmt.Errorf("decision %d: %w", id, gatekeeper.ErrNotFound)
	}
	return rejected(), r.err
}

func (r *record) Lookup(_ context.Context, repository, reference string) (gatekeeper.ImageStatus, error) {
	if repository == "panic" {
		panic("out of cheese")
	}
	d := rejected()
	return gatekeeper.ImageStatus{Push: gatekeeper.Push{Repository: repository, Tag: reference}, State: "rejected", Decision: &d}, r.err
}

func (r *record) GoldenTags(_ context.Context, repository string, _ int) ([]gatekeeper.GoldenReference, error) {
	return []gatekeeper.GoldenReference{{Registry: "golden", Repository: repository, Tag: "v1"}}, r.err
}

func (r *record) Exceptions(context.Context) ([]gatekeeper.ExceptionStatus, error) {
	return []gatekeeper.ExceptionStatus{
		{Policy: "services", Key: "a", ID: "CVE-1", Owner: "sec", State: gatekeeper.ExceptionExpiring, Use: &gatekeeper.ExceptionUse{Policy: "services", Key: "a", Images: 1}},
		{Policy: "services", List: "waivers", Key: "b", ID: "CVE-2", Owner: "sec", State: gatekeeper.ExceptionActive, Unused: true},
	}, r.err
}

func (r *record) Rebuilds(context.Context, int) ([]gatekeeper.RebuildNeeded, error) {
	return []gatekeeper.RebuildNeeded{{Registry: "golden", Repository: "team-a/app", Tags: []string{"v1"}, Bases: []gatekeeper.OutdatedBase{{Behind: 2}}}}, r.err
}

type checker struct{ entered, leave chan struct{} }

func (c checker) Check(ctx context.Context, image string) (gatekeeper.Decision, error) {
	switch image {
	case "nonsense":
		return gatekeeper.Decision{}, fmt.Errorf("%w: nonsense", web.ErrImage)
	case "gone":
		return gatekeeper.Decision{}, fmt.Errorf("gone: %w", gatekeeper.ErrNotFound)
	case "outage":
		return gatekeeper.Decision{}, errors.New("the registry answers 503")
	case "slow":
		c.entered <- struct{}{}
		<-c.leave
	}
	return rejected(), ctx.Err()
}

func deps() web.Deps {
	return web.Deps{
		Decisions: &record{}, Golden: &record{}, Checker: checker{}, Policies: func() []web.Policy { return nil }, Exceptions: &record{},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") }),
		Ready:   []web.ReadyCheck{{Name: "journal", Run: func(context.Context) error { return nil }}},
		Now:     moment, Log: slog.New(slog.DiscardHandler),
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, h http.Handler, method, target, body string, change func(*http.Request)) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	h := web.New(deps())
	for _, tt := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"GET", "/healthz", "", 200, "ok"},
		{"GET", "/readyz", "", 200, `"ready":true`},
		{"GET", "/metrics", "", 200, "metrics"},
		{"GET", "/api/v1/decisions", "", 200, `"decisions":[`},
		{"GET", "/api/v1/decisions?verdict=rejected&limit=1", "", 200, `"before":7`},
		{"GET", "/api/v1/decisions?verdict=perhaps", "", 400, "promoted, rejected"},
		{"GET", "/api/v1/decisions?verdct=rejected", "", 400, "verdct"},
		{"GET", "/api/v1/decisions?limit=501", "", 400, "500"},
		{"GET", "/api/v1/decisions?limit=-1", "", 400, "limit"},
		{"GET", "/api/v1/decisions?before=x", "", 400, "before"},
		{"GET", "/api/v1/decisions/7", "", 200, `"id":7`},
		{"GET", "/api/v1/decisions/8", "", 404, "decision 8"},
		{"GET", "/api/v1/decisions/x", "", 400, "number"},
		{"GET", "/api/v1/images?image=team-a/app:v1", "", 200, `"tag":"v1"`},
		{"GET", "/api/v1/images?image=team-a/app", "", 200, `"tag":"latest"`},
		{"GET", "/api/v1/images?image=host:5000/app@sha256:abc", "", 200, `"tag":"sha256:abc"`},
		{"GET", "/api/v1/images?image=", "", 400, "image"},
		{"GET", "/api/v1/images?imgae=x", "", 400, "imgae"},
		{"GET", "/api/v1/images", "", 200, `"images":[{"registry":"golden"`},
		{"GET", "/api/v1/images?repository=prod/app", "", 200, `"repository":"prod/app"`},
		{"GET", "/api/v1/rebuilds", "", 200, `"behind":2`},
		{"GET", "/api/v1/rebuilds?repository=a", "", 400, "repository"},
		{"GET", "/api/v1/images?image=panic:v1", "", 500, "Internal Server Error"},
		{"GET", "/api/v1/policies", "", 200, `"policies":[]`},
		{"GET", "/api/v1/exceptions", "", 200, `"id":"CVE-2"`},
		{"GET", "/api/v1/exceptions?state=unused&policy=services&list=waivers&owner=sec", "", 200, `{"exceptions":[{"policy":"services","list":"waivers","key":"b","id":"CVE-2"`},
		{"GET", "/api/v1/exceptions?state=expired", "", 200, `{"exceptions":[]}`},
		{"GET", "/api/v1/exceptions?owner=nobody", "", 200, `{"exceptions":[]}`},
		{"GET", "/api/v1/exceptions?state=old", "", 400, "active, expiring, expired, unused"},
		{"GET", "/api/v1/exceptions?polciy=services", "", 400, "polciy"},
		{"GET", "/api/v1/openapi.yaml", "", 200, "openapi: 3.1"},
		{"POST", "/api/v1/check", `{"image":"app:v1"}`, 200, `"verdict":"rejected"`},
		{"POST", "/api/v1/check", `{"image":"nonsense"}`, 400, "nonsense"},
		{"POST", "/api/v1/check", `{"image":"gone"}`, 404, "gone"},
		{"POST", "/api/v1/check", `{"image":"outage"}`, 502, "could not decide"},
		{"POST", "/api/v1/check", `{"imgae":"app:v1"}`, 400, "imgae"},
		{"POST", "/api/v1/check", `{"image":"app:v1"}{}`, 400, "goes on"},
		{"POST", "/api/v1/check", `{"image":"` + strings.Repeat("x", 70<<10) + `"}`, 413, "too large"},
		{"GET", "/api/v1/check", "", 405, "POST"},
		{"DELETE", "/api/v1/decisions", "", 405, "GET"},
		{"GET", "/nowhere", "", 404, "openapi"},
		{"GET", "/", "", 200, "<table>"},
		{"GET", "/exceptions", "", 200, "CVE-2"},
		{"GET", "/exceptions?state=unused&policy=services&owner=sec", "", 200, "nothing"},
		{"GET", "/exceptions?state=expired", "", 200, "no exception with this filter"},
		{"GET", "/exceptions?state=old", "", 400, "active, expiring, expired, unused"},
		{"GET", "/rebuilds", "", 200, "golden/team-a/app:v1"},
		{"GET", "/rebuilds?x=y", "", 400, "unknown parameter"},
		{"GET", "/?verdict=perhaps", "", 400, "perhaps"},
		{"GET", "/decisions/7", "", 200, "What to do"},
		{"GET", "/decisions/7", "", 200, "1 release behind (linux/amd64)"},
		{"GET", "/decisions/8", "", 404, "decision 8"},
		{"GET", "/style.css", "", 200, "color-scheme"},
		{"HEAD", "/api/v1/decisions", "", 200, ""},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			t.Parallel()
			got := ask(t, h, tt.method, tt.target, tt.body, nil)
			if got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("%d %s, want %d with %q", got.status, got.body, tt.status, tt.want)
			}
			page := strings.HasPrefix(got.header.Get("Content-Type"), "text/html")
			if got.status >= 400 && !page && got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("the error is of type %s", got.header.Get("Content-Type"))
			}
			if !strings.Contains(got.header.Get("Content-Security-Policy"), "default-src 'none'") || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", got.header)
			}
		})
	}
}

func TestPagesShowNamesAsText(t *testing.T) {
	t.Parallel()
	h := web.New(deps())
	for _, target := range []string{"/", "/decisions/7", "/?repository=%22%3E%3Cscript%3E"} {
		got := ask(t, h, "GET", target, "", nil)
		if strings.Contains(got.body, "<script>") || strings.Contains(got.body, "<b>") || strings.Contains(got.body, "\u202e") {
			t.Errorf("%s: %s", target, got.body)
		}
	}
}

func TestWhoIsAdmitted(t *testing.T) {
	t.Parallel()
	const token = "the-token"
	bearer := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	basic := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, tt := range []struct {
		name, token string
		private     bool
		target      string
		change      func(*http.Request)
		status      int
	}{
		{"no token configured, by address", "", false, "/api/v1/decisions", nil, 200},
		{"no token configured, by name", "", false, "/", host("localhost:8080"), 200},
		{"no token configured, IPv6", "", false, "/", host("[::1]:8080"), 200},
		{"no token configured, through another name", "", false, "/api/v1/decisions", host("attacker.example"), 403},
		{"no token configured, through a name that looks right", "", false, "/", host("localhost.attacker.example:8080"), 403},
		{"health through another name", "", false, "/healthz", host("10.0.0.1:9090"), 200},
		{"nothing presented", token, false, "/api/v1/decisions", nil, 401},
		{"nothing presented, page", token, false, "/decisions/7", nil, 401},
		{"nothing presented, unknown path", token, false, "/nowhere", nil, 401},
		{"another token", token, false, "/api/v1/decisions", bearer("Bearer the-toke"), 401},
		{"another scheme", token, false, "/api/v1/decisions", bearer("Digest the-token"), 401},
		{"the token", token, false, "/api/v1/decisions", bearer("Bearer the-token"), 200},
		{"the token, through another name", token, false, "/api/v1/decisions", func(r *http.Request) { r.Host = "gate.example"; bearer("bearer the-token")(r) }, 200},
		{"the token as a password", token, false, "/", basic(token), 200},
		{"another password", token, false, "/", basic("x"), 401},
		{"readiness", token, false, "/readyz", nil, 200},
		{"metrics", token, false, "/metrics", nil, 200},
		{"private metrics", token, true, "/metrics", nil, 401},
		{"private metrics with the token", token, true, "/metrics", bearer("Bearer the-token"), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := deps()
			d.Token, d.PrivateMetrics = tt.token, tt.private
			got := ask(t, web.New(d), "GET", tt.target, "", tt.change)
			if got.status != tt.status {
				t.Errorf("%d %s, want %d", got.status, got.body, tt.status)
			}
			if got.status == 401 && !strings.Contains(got.header.Get("WWW-Authenticate"), "Bearer") {
				t.Error("no challenge")
			}
			if strings.Contains(got.body, token) {
				t.Error("the answer tells the token")
			}
		})
	}
}

func TestACheckAsksForJSON(t *testing.T) {
	t.Parallel()
	got := ask(t, web.New(deps()), "POST", "/api/v1/check", `{"image":"app:v1"}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	if got.status != http.StatusUnsupportedMediaType {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestChecksAreBounded(t *testing.T) {
	t.Parallel()
	d := deps()
	slow := checker{make(chan struct{}), make(chan struct{})}
	d.Checker = slow
	h := web.New(d)
	done := make(chan answer)
	for range 2 {
		go func() { done <- ask(t, h, "POST", "/api/v1/check", `{"image":"slow"}`, nil) }()
		<-slow.entered
	}
	if got := ask(t, h, "POST", "/api/v1/check", `{"image":"app:v1"}`, nil); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	close(slow.leave)
	for range 2 {
		if got := <-done; got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

func TestThePoliciesAreThoseInForce(t *testing.T) {
	t.Parallel()
	d := deps()
	var inForce []web.Policy
	d.Policies = func() []web.Policy { return inForce }
	h := web.New(d)
	for _, name := range []string{"services", "infra"} {
		inForce = []web.Policy{{Name: name}}
		if got := ask(t, h, "GET", "/api/v1/policies", "", nil); got.status != 200 || !strings.Contains(got.body, `"name":"`+name+`"`) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	fails := func(context.Context) error { return errors.New("disk full") }
	d := deps()
	d.Ready = append(d.Ready, web.ReadyCheck{Name: "database", Informational: true, Run: fails})
	if got := ask(t, web.New(d), "GET", "/readyz", "", nil); got.status != 200 || !strings.Contains(got.body, "disk full") {
		t.Errorf("an informational check: %d %s", got.status, got.body)
	}
	d.Ready = append(d.Ready, web.ReadyCheck{Name: "journal", Run: fails})
	if got := ask(t, web.New(d), "GET", "/readyz", "", nil); got.status != 503 || !strings.Contains(got.body, `"ready":false`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestTroubleInsideIsNotShown(t *testing.T) {
	t.Parallel()
	d := deps()
	d.Decisions = &record{err: errors.New("secret path /var/lib")}
	for _, target := range []string{"/api/v1/decisions", "/"} {
		if got := ask(t, web.New(d), "GET", target, "", nil); got.status != 500 || strings.Contains(got.body, "/var/lib") {
			t.Errorf("%s: %d %s", target, got.status, got.body)
		}
	}
}

func TestClientAndServerAgree(t *testing.T) {
	t.Parallel()
	r := &record{}
	d := deps()
	d.Decisions, d.Token = r, "the-token"
	server := httptest.NewServer(web.New(d))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, "the-token")
	if err != nil {
		t.Fatal(err)
	}
	q := gatekeeper.DecisionQuery{Verdict: policy.VerdictRejected, Source: "s", Repository: "r", Tag: "t", Digest: "d", Policy: "p", Before: 9, Limit: 3}
	list, err := c.Decisions(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, r.query); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]gatekeeper.Decision{rejected()}, list); diff != "" {
		t.Error(diff)
	}
	var refused *client.Error
	if _, err := c.Decision(t.Context(), "8"); !errors.As(err, &refused) || refused.Status != 404 || refused.Detail == "" {
		t.Errorf("%v", err)
	}
	if s, err := c.Image(t.Context(), "team-a/app:v1"); err != nil || s.Push.Tag != "v1" {
		t.Errorf("%+v, %v", s, err)
	}
	stranger, err := client.New(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Image(t.Context(), "app:v1"); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://x", "http://"} {
		if _, err := client.New(bad, ""); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// The document names every path and every field that there is, and no other.
func TestTheOpenAPIDocumentIsTrue(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths      map[string]map[string]any
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any
			}
		}
	}
	h := web.New(deps())
	if err := yaml.Unmarshal([]byte(ask(t, h, "GET", "/api/v1/openapi.yaml", "", nil).body), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			got := ask(t, h, strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "7"), "", nil)
			if got.status == 404 || got.status == 405 {
				t.Errorf("%s %s answers %d", method, path, got.status)
			}
		}
	}
	for _, path := range web.APIPaths(h) {
		if doc.Paths[path] == nil {
			t.Errorf("%s is not in the document", path)
		}
	}
	for name, v := range map[string]any{
		"Decision": gatekeeper.Decision{}, "Push": gatekeeper.Push{}, "GoldenReference": gatekeeper.GoldenReference{}, "ImageStatus": gatekeeper.ImageStatus{},
		"Result": policy.Result{}, "Finding": policy.Finding{}, "Promotion": policy.Promotion{}, "Policy": web.Policy{},
		"Exception": gatekeeper.ExceptionStatus{}, "ExceptionUse": gatekeeper.ExceptionUse{},
		"RebuildNeeded": gatekeeper.RebuildNeeded{}, "OutdatedBase": gatekeeper.OutdatedBase{}, "BuiltOn": policy.BuiltOn{},
	} {
		var fields []string
		for field := range reflect.TypeOf(v).Fields() {
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if tag != "-" {
				fields = append(fields, tag)
			}
		}
		slices.Sort(fields)
		if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(doc.Components.Schemas[name].Properties))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := json.Marshal(doc); err != nil {
		t.Error(err)
	}
}
