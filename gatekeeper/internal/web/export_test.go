package web

import "strings"

// APIPaths lists the routes that the document has to describe.
func APIPaths(h *Handler) []string {
	var paths []string
	for _, r := range h.routes() {
		if !r.page && r.path != "/" && !strings.HasSuffix(r.path, ".css") {
			paths = append(paths, r.path)
		}
	}
	return paths
}
