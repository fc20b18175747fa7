package web

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/report"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

//go:embed pages
var pageFiles embed.FS

// page is what the templates show.
type page struct {
	Title    string
	Now      time.Time
	Problem  problem
	Query    gatekeeper.DecisionQuery
	Verdicts []policy.Verdict
	List     []gatekeeper.Decision
	Older    string // the address of older decisions
	Decision gatekeeper.Decision
	Rebuilds []gatekeeper.RebuildNeeded

	Exceptions []gatekeeper.ExceptionStatus
	States     []gatekeeper.ExceptionState
	Filter     exceptionFilter
}

func (h *Handler) listPage(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	q, err := decisionQuery(values)
	if err != nil {
		return err
	}
	list, err := h.list(r, q)
	if err != nil {
		return err
	}
	p := page{Title: "Decisions", Query: q, Verdicts: policy.Verdicts(), List: list.Decisions}
	if list.Before > 0 {
		values.Set("before", strconv.FormatInt(list.Before, 10))
		p.Older = "/?" + values.Encode()
	}
	h.render(w, http.StatusOK, "list", p)
	return nil
}

func (h *Handler) decisionPage(w http.ResponseWriter, r *http.Request) error {
	d, err := h.decision(r)
	if err != nil {
		return err
	}
	h.render(w, http.StatusOK, "decision", page{Title: "Decision " + strconv.FormatInt(d.ID, 10), Decision: d})
	return nil
}

func (h *Handler) style(w http.ResponseWriter, _ *http.Request) error {
	text, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, err = w.Write(text)
	return err
}

// render shows a page, whole or not at all.
func (h *Handler) render(w http.ResponseWriter, status int, name string, p page) {
	p.Now = h.deps.Now()
	t, err := template.New("").Funcs(template.FuncMap{
		"safe": report.Safe, "signed": report.Signed, "builtOn": report.BuiltOn, "reason": report.Reason, "took": report.Took, "ago": ago(p.Now),
		"moment": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
		"image":  func(d gatekeeper.Decision) string { return "/?repository=" + url.QueryEscape(d.Push.Repository) },
	}).ParseFS(pageFiles, "pages/*.html")
	var buf bytes.Buffer
	if err == nil {
		err = t.ExecuteTemplate(&buf, name, p)
	}
	if err != nil {
		h.deps.Log.Error("page not rendered", slog.String("page", name), slog.String("error", err.Error()))
		http.Error(w, "the page cannot be shown; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := buf.WriteTo(w); err != nil {
		h.deps.Log.Debug("page not sent", slog.String("error", err.Error()))
	}
}

// ago says how long ago something was, roughly.
func ago(now time.Time) func(time.Time) string {
	return func(t time.Time) string {
		switch d := now.Sub(t); {
		case d < time.Minute:
			return "just now"
		case d < time.Hour:
			return strconv.Itoa(int(d.Minutes())) + " min ago"
		case d < 48*time.Hour:
			return strconv.Itoa(int(d.Hours())) + " h ago"
		default:
			return strconv.Itoa(int(d.Hours()/24)) + " days ago"
		}
	}
}
