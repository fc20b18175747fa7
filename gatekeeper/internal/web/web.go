// Package web serves the admin listener: the API, the pages, health and
// metrics.
//
// Without a token it answers only requests addressed to this machine, so that
// a web site cannot reach it through a visitor's browser (DNS rebinding). With
// one, everything but /healthz, /readyz and, by choice, /metrics asks for it.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// The limits of requests.
const (
	maxBody      = 64 << 10 // bytes
	maxDecisions = 500      // in one listing
	maxChecks    = 2        // at a time
	maxImages    = 1000     // in one listing
)

// Decisions is what has been recorded.
type Decisions interface {
	Decisions(ctx context.Context, q gatekeeper.DecisionQuery) ([]gatekeeper.Decision, error)
	// Decision returns an error that wraps gatekeeper.ErrNotFound when there
	// is none of that number.
	Decision(ctx context.Context, id int64) (gatekeeper.Decision, error)
	// Lookup returns the newest push of an image; an error that wraps
	// gatekeeper.ErrNotFound when it was never pushed.
	Lookup(ctx context.Context, repository, tagOrDigest string) (gatekeeper.ImageStatus, error)
}

// Golden is what golden tags point to.
type Golden interface {
	// GoldenTags lists them, the newest promotion first; of all golden
	// repositories when repository is empty.
	GoldenTags(ctx context.Context, repository string, limit int) ([]gatekeeper.GoldenReference, error)
	// Rebuilds lists what of it is built on a golden base that has a newer
	// release.
	Rebuilds(ctx context.Context, limit int) ([]gatekeeper.RebuildNeeded, error)
}

// Checker judges an image without any effect.
type Checker interface {
	// Check returns an error that wraps ErrImage when the reference is
	// unusable, and gatekeeper.ErrNotFound when there is no such image.
	Check(ctx context.Context, image string) (gatekeeper.Decision, error)
}

// ErrImage is wrapped by a Checker's error about the reference itself.
var ErrImage = errors.New("unusable image reference")

// ReadyCheck is a condition of readiness.
type ReadyCheck struct {
	Name string
	// Informational checks are shown and do not make the service unready.
	Informational bool
	Run           func(ctx context.Context) error
}

// Policy describes a policy in force.
type Policy struct {
	Name         string   `json:"name"`
	Description  string   `json:"description,omitempty"`
	Mode         string   `json:"mode"`
	Fingerprint  string   `json:"fingerprint"`
	From         string   `json:"from"`
	Repositories []string `json:"repositories"` // globs; any when empty
	Tags         []string `json:"tags,omitempty"`
	// RepositoriesRegExp, TagsRegExp and Versions narrow down what is matched.
	RepositoriesRegExp []string `json:"repositoriesRegExp,omitempty"`
	TagsRegExp         []string `json:"tagsRegExp,omitempty"`
	Versions           string   `json:"versions,omitempty"`
	PromoteTo          string   `json:"promoteTo"`
	// ExceptionLists and VersionLists are the lists that it names.
	ExceptionLists []string `json:"exceptionLists,omitempty"`
	VersionLists   []string `json:"versionLists,omitempty"`
	File           string   `json:"file"`
}

// Deps is what a Handler works with.
type Deps struct {
	Decisions Decisions
	Golden    Golden
	Checker   Checker
	// Policies returns those in force.
	Policies   func() []Policy
	Exceptions Exceptions
	Metrics    http.Handler
	Ready      []ReadyCheck
	// Token is asked for when it is not empty.
	Token string
	// PrivateMetrics asks for the token on /metrics too.
	PrivateMetrics bool
	Now            func() time.Time
	Log            *slog.Logger
}

// Handler serves the admin listener.
type Handler struct {
	deps   Deps
	mux    *http.ServeMux
	checks *semaphore.Weighted
}

// route is a path with what serves its methods.
type route struct {
	path    string
	open    bool // to everybody
	page    bool // errors are shown as pages
	methods map[string]func(w http.ResponseWriter, r *http.Request) error
}

// New returns a handler.
func New(deps Deps) *Handler {
	h := &Handler{deps: deps, mux: http.NewServeMux(), checks: semaphore.NewWeighted(maxChecks)}
	for _, r := range h.routes() {
		h.mux.Handle(r.path, h.serve(r))
	}
	return h
}

func (h *Handler) routes() []route {
	type handlers = map[string]func(w http.ResponseWriter, r *http.Request) error
	get := func(f func(w http.ResponseWriter, r *http.Request) error) handlers {
		return handlers{http.MethodGet: f}
	}
	return []route{
		{path: "/healthz", open: true, methods: get(h.healthz)},
		{path: "/readyz", open: true, methods: get(h.readyz)},
		{path: "/metrics", open: !h.deps.PrivateMetrics, methods: get(h.metrics)},
		{path: "/api/v1/decisions", methods: get(h.listDecisions)},
		{path: "/api/v1/decisions/{id}", methods: get(h.showDecision)},
		{path: "/api/v1/images", methods: get(h.images)},
		{path: "/api/v1/rebuilds", methods: get(h.rebuilds)},
		{path: "/api/v1/policies", methods: get(h.listPolicies)},
		{path: "/api/v1/exceptions", methods: get(h.listExceptions)},
		{path: "/api/v1/check", methods: handlers{http.MethodPost: h.check}},
		{path: "/api/v1/openapi.yaml", methods: get(h.openAPI)},
		{path: "/decisions/{id}", page: true, methods: get(h.decisionPage)},
		{path: "/rebuilds", page: true, methods: get(h.rebuildsPage)},
		{path: "/exceptions", page: true, methods: get(h.exceptionsPage)},
		{path: "/style.css", methods: get(h.style)},
		{path: "/{$}", page: true, methods: get(h.listPage)},
		{path: "/", methods: get(func(http.ResponseWriter, *http.Request) error {
			return problem{Status: http.StatusNotFound, Detail: "there is nothing here; the API is described at /api/v1/openapi.yaml"}
		})},
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// serve wraps a route with what is the same for all of them.
func (h *Handler) serve(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer h.recover(w, r)
		secure(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := h.dispatch(route, w, r); err != nil {
			h.fail(w, r, route, err)
		}
	})
}

func (h *Handler) dispatch(route route, w http.ResponseWriter, r *http.Request) error {
	if !route.open {
		if err := h.admit(w, r); err != nil {
			return err
		}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handle, ok := route.methods[method]
	if !ok {
		var allowed []string
		for m := range route.methods {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return problem{Status: http.StatusMethodNotAllowed, Detail: "use " + strings.Join(allowed, " or ")}
	}
	return handle(w, r)
}

// secure sets what every answer carries. Nothing here loads from elsewhere,
// runs scripts or is framed.
func secure(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

func (h *Handler) recover(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it the same way
		panic(v)
	}
	h.deps.Log.ErrorContext(r.Context(), "request panicked", slog.String("path", r.URL.Path),
		slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
	h.write(w, http.StatusInternalServerError, problemType, problem{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError)})
}
