package embedded

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
)

// readOnly lets everybody read and only the holder of the token write: what
// is in a golden registry got there through the gate. The refusal has the
// form that clients print (OCI distribution-spec v1.1, "Error Codes").
func readOnly(next http.Handler, token string) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get(TokenHeader)))
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reading && subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			deny(w)
			return
		}
		r.Header.Del(TokenHeader)
		next.ServeHTTP(w, r)
	})
}

func deny(w http.ResponseWriter) {
	type refusal struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	// A client that hung up does not miss the explanation.
	_ = json.NewEncoder(w).Encode(map[string][]refusal{"errors": {{
		Code:    "DENIED",
		Message: "only the gatekeeper writes to the golden registry: push to staging and let a policy promote the image",
	}}})
}

// Writer adds the write token to the requests for one registry, and to no
// others.
type Writer struct {
	Host  string // the registry's host and port
	Token string
	Next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *Writer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == t.Host {
		r = r.Clone(r.Context())
		r.Header.Set(TokenHeader, t.Token)
	}
	return t.Next.RoundTrip(r)
}
