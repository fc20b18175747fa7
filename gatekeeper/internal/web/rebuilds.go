package web

import (
	"net/http"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// rebuilds answers which golden images are built on a golden base of which
// there is a newer release.
func (h *Handler) rebuilds(w http.ResponseWriter, r *http.Request) error {
	list, err := h.rebuildsNeeded(r)
	if err != nil {
		return err
	}
	h.write(w, http.StatusOK, jsonType, map[string][]gatekeeper.RebuildNeeded{"images": list})
	return nil
}

func (h *Handler) rebuildsPage(w http.ResponseWriter, r *http.Request) error {
	list, err := h.rebuildsNeeded(r)
	if err != nil {
		return err
	}
	h.render(w, http.StatusOK, "rebuilds", page{Title: "Rebuilds needed", Rebuilds: list})
	return nil
}

func (h *Handler) rebuildsNeeded(r *http.Request) ([]gatekeeper.RebuildNeeded, error) {
	for key := range r.URL.Query() {
		return nil, badRequest("unknown parameter %q; there is none", key)
	}
	return h.deps.Golden.Rebuilds(r.Context(), maxImages)
}
