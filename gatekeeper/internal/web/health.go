package web

import (
	"context"
	"net/http"
	"time"
)

// readyTimeout bounds one check of readiness.
const readyTimeout = 3 * time.Second

// healthz says that the process answers; nothing else.
func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) error {
	h.write(w, http.StatusOK, jsonType, map[string]string{"status": "ok"})
	return nil
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready  bool          `json:"ready"`
	Checks []checkResult `json:"checks"`
}

type checkResult struct {
	Name          string `json:"name"`
	OK            bool   `json:"ok"`
	Informational bool   `json:"informational,omitempty"`
	Detail        string `json:"detail,omitempty"`
}

// readyz says whether pushes can be accepted and judged.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) error {
	answer := readiness{Ready: true, Checks: []checkResult{}}
	for _, c := range h.deps.Ready {
		result := checkResult{Name: c.Name, OK: true, Informational: c.Informational}
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		if err := c.Run(ctx); err != nil {
			result.OK, result.Detail = false, err.Error()
			answer.Ready = answer.Ready && c.Informational
		}
		cancel()
		answer.Checks = append(answer.Checks, result)
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	h.write(w, status, jsonType, answer)
	return nil
}

func (h *Handler) metrics(w http.ResponseWriter, r *http.Request) error {
	h.deps.Metrics.ServeHTTP(w, r)
	return nil
}
