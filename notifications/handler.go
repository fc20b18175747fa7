package notifications

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Outcome is what became of a notification or of one event in it. The set is
// closed: it is a metric label.
type Outcome string

// The outcomes. Those about a whole request count once, those about events
// count each.
const (
	OutcomeAccepted     Outcome = "accepted"     // events that are durable now
	OutcomeDuplicate    Outcome = "duplicate"    // events that were known
	OutcomeIgnored      Outcome = "ignored"      // events that do not concern us
	OutcomeMalformed    Outcome = "malformed"    // events, or a request, that cannot be read
	OutcomeUnauthorized Outcome = "unauthorized" // requests without the source's secret
	OutcomeTooLarge     Outcome = "too_large"    // requests beyond a limit
	OutcomeFailed       Outcome = "failed"       // requests whose pushes could not be stored
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeAccepted, OutcomeDuplicate, OutcomeIgnored, OutcomeMalformed, OutcomeUnauthorized, OutcomeTooLarge, OutcomeFailed,
	}
}

// The limits of one notification.
const (
	MaxBody   = 1 << 20 // bytes
	MaxEvents = 1000
)

// storeTimeout is how long storing may take. Senders wait no longer (CNCF
// Distribution one second by default), and one that hears nothing does not
// learn that it is storage that hangs.
const storeTimeout = 5 * time.Second

// retryAfter is when a sender should try again after a failure to store, in
// seconds.
const retryAfter = "5"

// Source is a registry that reports pushes to /webhooks/NAME.
type Source struct {
	Name string
	// Secret is what a notification carries as a bearer token or as the
	// password of basic authentication. A source without secret refuses
	// everything.
	Secret  string
	Decoder Decoder
	// ContentTypes are the media types that the decoder reads.
	ContentTypes []string
}

// Deps is what a Handler works with.
type Deps struct {
	Sources []Source
	Sink    Sink
	Count   func(source string, outcome Outcome, n int)
	Log     *slog.Logger
}

// Handler takes notifications at POST /webhooks/{source}. It answers 202 once
// every push in a notification is durable.
//
// An authenticated sender gets 2xx for events that do not concern us and for
// malformed ones: Distribution sends a refused event again and again, and
// everything behind it waits. What is refused is a request that cannot be read
// as a whole; it may have been damaged on the way, and arrive whole next time.
type Handler struct {
	deps    Deps
	sources map[string]source
	mux     *http.ServeMux
}

type source struct {
	Source
	secret [sha256.Size]byte
}

// NewHandler returns a handler.
func NewHandler(deps Deps) *Handler {
	h := &Handler{deps: deps, sources: map[string]source{}, mux: http.NewServeMux()}
	for _, s := range deps.Sources {
		h.sources[s.Name] = source{s, sha256.Sum256([]byte(s.Secret))}
	}
	h.mux.HandleFunc("/webhooks/{source}", h.serve)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		h.refuse(w, refusal{http.StatusNotFound, "notifications are sent to /webhooks/SOURCE"})
	})
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// refusal is an answer other than 202. Its text never depends on a secret.
type refusal struct {
	status int
	detail string
}

func (e refusal) Error() string { return e.detail }

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.refuse(w, refusal{http.StatusMethodNotAllowed, "notifications are sent with POST"})
		return
	}
	s, known := h.sources[r.PathValue("source")]
	if !known {
		h.refuse(w, refusal{http.StatusNotFound, "no source of this name is configured; the path is /webhooks/ and the registry's name in the configuration"})
		return
	}
	summary, outcome, err := h.take(w, r, s)
	if err == nil {
		h.accept(w, summary)
		return
	}
	h.deps.Count(s.Name, outcome, 1)
	var refused refusal
	if !errors.As(err, &refused) {
		refused = refusal{http.StatusServiceUnavailable, "the push could not be stored; send it again"}
	}
	h.deps.Log.WarnContext(r.Context(), "notification refused",
		slog.String("source", s.Name), slog.String("outcome", string(outcome)), slog.Int("status", refused.status),
		slog.String("remote", r.RemoteAddr), slog.String("reason", printable(err.Error())))
	h.refuse(w, refused)
}

// Summary is the body of a 202.
type Summary struct {
	Accepted   int `json:"accepted"`
	Duplicates int `json:"duplicates"`
	Ignored    int `json:"ignored"`
	Malformed  int `json:"malformed"`
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request, s source) (Summary, Outcome, error) {
	if !s.authenticates(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gatekeeper"`)
		return Summary{}, OutcomeUnauthorized, refusal{http.StatusUnauthorized, "send the source's secret as a bearer token or as the password of basic authentication"}
	}
	if err := s.checkType(r); err != nil {
		return Summary{}, OutcomeMalformed, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return Summary{}, OutcomeTooLarge, refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", MaxBody)}
	case err != nil:
		return Summary{}, OutcomeMalformed, refusal{http.StatusBadRequest, "the body ends early"}
	}
	events, err := s.Decoder.Decode(r.Header, body)
	if err != nil {
		return Summary{}, OutcomeMalformed, refusal{http.StatusBadRequest, err.Error()}
	}
	if len(events) > MaxEvents {
		return Summary{}, OutcomeTooLarge, refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("%d events in one notification; at most %d are taken", len(events), MaxEvents)}
	}
	return h.store(r.Context(), s, events)
}

func (h *Handler) store(ctx context.Context, s source, events []Event) (Summary, Outcome, error) {
	var summary Summary
	var pushes []Push
	for _, e := range events {
		e.Push.Source = s.Name
		if e.Err == nil && e.Ignored == "" {
			e.Err = e.Push.Validate()
		}
		switch {
		case e.Err != nil:
			summary.Malformed++
			h.deps.Log.WarnContext(ctx, "malformed event left out", slog.String("source", s.Name), slog.String("reason", printable(e.Err.Error())))
		case e.Ignored != "":
			summary.Ignored++
			h.deps.Log.DebugContext(ctx, "event ignored", slog.String("source", s.Name), slog.String("reason", printable(e.Ignored)))
		default:
			pushes = append(pushes, e.Push)
		}
	}
	storing, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	receipt, err := h.deps.Sink.Accept(storing, pushes)
	if err != nil {
		return summary, OutcomeFailed, fmt.Errorf("store %d pushes: %w", len(pushes), err)
	}
	summary.Accepted, summary.Duplicates = receipt.Accepted, receipt.Duplicates
	for outcome, n := range map[Outcome]int{
		OutcomeAccepted: summary.Accepted, OutcomeDuplicate: summary.Duplicates,
		OutcomeIgnored: summary.Ignored, OutcomeMalformed: summary.Malformed,
	} {
		if n > 0 {
			h.deps.Count(s.Name, outcome, n)
		}
	}
	return summary, OutcomeAccepted, nil
}

// authenticates compares in constant time, whatever was sent.
func (s source) authenticates(r *http.Request) bool {
	got, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		_, got, _ = r.BasicAuth()
	}
	sum := sha256.Sum256([]byte(got))
	return subtle.ConstantTimeCompare(sum[:], s.secret[:]) == 1 && s.Secret != ""
}

func (s source) checkType(r *http.Request) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return refusal{http.StatusUnsupportedMediaType, "a compressed body is not taken"}
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(s.ContentTypes, mediaType) {
		return refusal{http.StatusUnsupportedMediaType, "the Content-Type is none of " + strings.Join(s.ContentTypes, ", ")}
	}
	return nil
}

func (h *Handler) accept(w http.ResponseWriter, summary Summary) {
	h.answer(w, http.StatusAccepted, "application/json", summary)
}

// refuse answers with a problem document (RFC 9457).
func (h *Handler) refuse(w http.ResponseWriter, e refusal) {
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	h.answer(w, e.status, "application/problem+json", struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(e.status), e.status, printable(e.detail)})
}

func (h *Handler) answer(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		h.deps.Log.Debug("answer not sent", slog.String("reason", err.Error()))
	}
}
