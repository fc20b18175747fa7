package web

import (
	"net/http"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
)

// rebuilds answers which golden images are built on a golden base of which
// there is a newer release.
func (h *Handler) rebuilds(w http.ResponseWriter, r *http.Request) error {
	for key := range r.URL.Query() {
		return badRequest("unknown parameter %q; there is none", key)
	}
	list, err := h.deps.Golden.Rebuilds(r.Context(), maxImages)
	if err != nil {
		return err
	}
	h.write(w, http.StatusOK, jsonType, map[string][]gatekeeper.RebuildNeeded{"images": list})
	return nil
}
