package web

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

//go:embed openapi.yaml
var openAPIDocument []byte

func (h *Handler) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, err := w.Write(openAPIDocument)
	return err
}

// decisionList is a page of decisions, newest first.
type decisionList struct {
	Decisions []gatekeeper.Decision `json:"decisions"`
	// Before continues the listing when it is given as the parameter of
	// that name; absent at the end.
	Before int64 `json:"before,omitempty"`
}

func (h *Handler) listDecisions(w http.ResponseWriter, r *http.Request) error {
	q, err := decisionQuery(r.URL.Query())
	if err != nil {
		return err
	}
	list, err := h.list(r, q)
	if err != nil {
		return err
	}
	h.write(w, http.StatusOK, jsonType, list)
	return nil
}

func (h *Handler) list(r *http.Request, q gatekeeper.DecisionQuery) (decisionList, error) {
	decisions, err := h.deps.Decisions.Decisions(r.Context(), q)
	if err != nil {
		return decisionList{}, err
	}
	list := decisionList{Decisions: append([]gatekeeper.Decision{}, decisions...)}
	if n := len(decisions); n > 0 && n == q.Limit {
		list.Before = decisions[n-1].ID
	}
	return list, nil
}

// decisionQuery reads the filters strictly: a filter that is misspelt would
// otherwise show everything.
func decisionQuery(values url.Values) (gatekeeper.DecisionQuery, error) {
	q := gatekeeper.DecisionQuery{Limit: 50}
	texts := map[string]*string{
		"source": &q.Source, "repository": &q.Repository, "tag": &q.Tag, "digest": &q.Digest, "policy": &q.Policy,
	}
	for key, all := range values {
		value := all[len(all)-1]
		text, isText := texts[key]
		var err error
		switch {
		case isText:
			*text = value
		case key == "verdict":
			q.Verdict, err = verdictOf(value)
		case key == "limit":
			q.Limit, err = strconv.Atoi(value)
			if err != nil || q.Limit < 1 || q.Limit > maxDecisions {
				err = badRequest("limit is %q; want a number from 1 to %d", value, maxDecisions)
			}
		case key == "before":
			q.Before, err = strconv.ParseInt(value, 10, 64)
			if err != nil || q.Before < 0 {
				err = badRequest("before is %q; want the number of a decision", value)
			}
		default:
			err = badRequest("unknown parameter %q; want verdict, source, repository, tag, digest, policy, limit or before", key)
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

func verdictOf(text string) (policy.Verdict, error) {
	if v := policy.Verdict(text); text == "" || slices.Contains(policy.Verdicts(), v) {
		return v, nil
	}
	var known []string
	for _, v := range policy.Verdicts() {
		known = append(known, string(v))
	}
	return "", badRequest("verdict is %q; want %s", text, strings.Join(known, ", "))
}

func badRequest(format string, args ...any) error {
	return problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, args...)}
}

func (h *Handler) showDecision(w http.ResponseWriter, r *http.Request) error {
	d, err := h.decision(r)
	if err != nil {
		return err
	}
	h.write(w, http.StatusOK, jsonType, d)
	return nil
}

func (h *Handler) decision(r *http.Request) (gatekeeper.Decision, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return gatekeeper.Decision{}, badRequest("%q is not the number of a decision", r.PathValue("id"))
	}
	return h.deps.Decisions.Decision(r.Context(), id)
}

// images answers what is known about ?image=REPOSITORY:TAG or
// REPOSITORY@DIGEST; without it, what golden tags point to.
func (h *Handler) images(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	for key := range values {
		if key != "image" && key != "repository" {
			return badRequest("unknown parameter %q; want image, or repository", key)
		}
	}
	if !values.Has("image") {
		golden, err := h.deps.Golden.GoldenTags(r.Context(), values.Get("repository"), maxImages)
		if err != nil {
			return err
		}
		h.write(w, http.StatusOK, jsonType, map[string][]gatekeeper.GoldenReference{"images": golden})
		return nil
	}
	repository, reference, err := splitImage(values.Get("image"))
	if err != nil {
		return err
	}
	status, err := h.deps.Decisions.Lookup(r.Context(), repository, reference)
	if rest, ok := withoutHost(repository); ok && errors.Is(err, gatekeeper.ErrNotFound) {
		status, err = h.deps.Decisions.Lookup(r.Context(), rest, reference)
	}
	if err != nil {
		return err
	}
	h.write(w, http.StatusOK, jsonType, status)
	return nil
}

// splitImage takes a name apart; without a tag it means latest, as everywhere.
func splitImage(image string) (repository, reference string, err error) {
	if image == "" {
		return "", "", badRequest("the parameter image is empty: ?image=REPOSITORY:TAG or ?image=REPOSITORY@DIGEST")
	}
	if repository, digest, ok := strings.Cut(image, "@"); ok {
		// A tag beside the digest says nothing more.
		if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
			repository = repository[:i]
		}
		return repository, digest, nil
	}
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i], image[i+1:], nil
	}
	return image, "latest", nil
}

// withoutHost drops a registry's host, for names as docker push takes them.
func withoutHost(repository string) (string, bool) {
	host, rest, ok := strings.Cut(repository, "/")
	return rest, ok && (strings.ContainsAny(host, ".:") || host == "localhost")
}

func (h *Handler) listPolicies(w http.ResponseWriter, _ *http.Request) error {
	h.write(w, http.StatusOK, jsonType, map[string][]Policy{"policies": append([]Policy{}, h.deps.Policies()...)})
	return nil
}

// checkRequest asks for a judgement without effect.
type checkRequest struct {
	Image string `json:"image"`
}

func (h *Handler) check(w http.ResponseWriter, r *http.Request) error {
	// A form of another site cannot send this type (CSRF).
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != jsonType {
		return problem{Status: http.StatusUnsupportedMediaType, Detail: "send the request as " + jsonType}
	}
	var request checkRequest
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&request); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return badRequest(`the body is not {"image": "REGISTRY/REPOSITORY:TAG"}: %v`, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body goes on after the request")
	}
	if !h.checks.TryAcquire(1) {
		w.Header().Set("Retry-After", "10")
		return problem{Status: http.StatusTooManyRequests, Detail: "too many checks are under way; try again in 10 seconds"}
	}
	defer h.checks.Release(1)
	d, err := h.deps.Checker.Check(r.Context(), request.Image)
	switch {
	case errors.Is(err, ErrImage):
		return badRequest("%v", err)
	case err != nil && !errors.Is(err, gatekeeper.ErrNotFound):
		return problem{Status: http.StatusBadGateway, Detail: "could not decide: " + err.Error()}
	case err != nil:
		return err
	}
	h.write(w, http.StatusOK, jsonType, d)
	return nil
}
