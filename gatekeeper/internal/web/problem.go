package web

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

// problem is an error answer (RFC 9457, "Problem Details for HTTP APIs"). The
// title is the status in words.
type problem struct {
	Status   int    `json:"status"`
	Title    string `json:"title"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Error is the detail.
func (p problem) Error() string { return p.Detail }

// fail answers with an error. What the sender cannot mend is logged, and not
// shown.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, route route, err error) {
	p := asProblem(err)
	if p.Status >= http.StatusInternalServerError && p.Detail == "" {
		h.deps.Log.ErrorContext(r.Context(), "request failed", slog.String("path", r.URL.Path), slog.String("error", err.Error()))
		p.Detail = "the gatekeeper could not answer; its log says why"
	}
	p.Title, p.Instance = http.StatusText(p.Status), r.URL.Path
	if route.page {
		h.render(w, p.Status, "problem", page{Title: p.Title, Problem: p})
		return
	}
	h.write(w, p.Status, problemType, p)
}

func asProblem(err error) problem {
	var p problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return problem{Status: http.StatusRequestEntityTooLarge, Detail: "the body is too large"}
	case errors.Is(err, gatekeeper.ErrNotFound):
		return problem{Status: http.StatusNotFound, Detail: err.Error()}
	}
	return problem{Status: http.StatusInternalServerError}
}

// write sends a JSON answer. A client that hung up misses it.
func (h *Handler) write(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		h.deps.Log.Debug("answer not sent", slog.String("error", err.Error()))
	}
}
