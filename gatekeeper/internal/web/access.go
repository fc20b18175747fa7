package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// admit lets a request pass that carries the token, or, without a token, one
// that is addressed to this machine.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) error {
	if h.deps.Token == "" {
		if loopback(r.Host) {
			return nil
		}
		return problem{
			Status: http.StatusForbidden,
			Detail: "without admin.tokenFile the API and the pages answer only at localhost; use http://127.0.0.1 or configure a token",
		}
	}
	if sameSecret(presented(r), h.deps.Token) {
		return nil
	}
	// Browsers ask for the token when they are offered basic authentication.
	w.Header().Set("WWW-Authenticate", `Bearer realm="gatekeeper", Basic realm="gatekeeper", charset="UTF-8"`)
	return problem{Status: http.StatusUnauthorized, Detail: "send the token of admin.tokenFile as a bearer token, or as the password of basic authentication"}
}

// presented is the bearer token or the password of a request.
func presented(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// sameSecret compares in constant time, whatever the lengths.
func sameSecret(got, want string) bool {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// loopback says whether a Host header names this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}
