package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// Exceptions is what is known about the exceptions in force.
type Exceptions interface {
	// Exceptions lists those of the policies in force, those first that end
	// first.
	Exceptions(ctx context.Context) ([]gatekeeper.ExceptionStatus, error)
}

func (h *Handler) listExceptions(w http.ResponseWriter, r *http.Request) error {
	chosen, err := h.chosenExceptions(r)
	if err != nil {
		return err
	}
	h.write(w, http.StatusOK, jsonType, map[string][]gatekeeper.ExceptionStatus{"exceptions": chosen})
	return nil
}

// exceptionFilter is what the page of exceptions shows.
type exceptionFilter struct {
	State         gatekeeper.ExceptionState
	Policy, Owner string
}

func (h *Handler) exceptionsPage(w http.ResponseWriter, r *http.Request) error {
	chosen, err := h.chosenExceptions(r)
	if err != nil {
		return err
	}
	values := r.URL.Query()
	h.render(w, http.StatusOK, "exceptions", page{
		Title: "Exceptions", Exceptions: chosen, States: gatekeeper.ExceptionStates(),
		Filter: exceptionFilter{gatekeeper.ExceptionState(values.Get("state")), values.Get("policy"), values.Get("owner")},
	})
	return nil
}

// chosenExceptions answers ?policy=, ?list=, ?owner= and ?state=, strictly: a
// filter that is misspelt would otherwise show everything.
func (h *Handler) chosenExceptions(r *http.Request) ([]gatekeeper.ExceptionStatus, error) {
	values := r.URL.Query()
	for key := range values {
		if !slices.Contains([]string{"policy", "list", "owner", "state"}, key) {
			return nil, badRequest("unknown parameter %q; want policy, list, owner or state", key)
		}
	}
	state := gatekeeper.ExceptionState(values.Get("state"))
	if known := gatekeeper.ExceptionStates(); state != "" && !slices.Contains(known, state) {
		var names []string
		for _, k := range known {
			names = append(names, string(k))
		}
		return nil, badRequest("state is %q; want %s", state, strings.Join(names, ", "))
	}
	all, err := h.deps.Exceptions.Exceptions(r.Context())
	if err != nil {
		return nil, err
	}
	wanted := func(key, value string) bool { return values.Get(key) == "" || values.Get(key) == value }
	chosen := []gatekeeper.ExceptionStatus{}
	for _, x := range all {
		if wanted("policy", x.Policy) && wanted("list", x.List) && wanted("owner", x.Owner) && (state == "" || x.Is(state)) {
			chosen = append(chosen, x)
		}
	}
	return chosen, nil
}
