package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// audience is what Fulcio and its clients ask of an identity token.
	audience = "sigstore"
	keyID    = "test-issuer"

	// Fulcio decides by the issuer what a token may become: one issuer
	// attests addresses, the other workflows.
	emailPath    = "/email"
	workflowPath = "/workflow"

	// Building a client may come between minting and use.
	tokenLifetime = time.Hour
)

// issuer is an OpenID Connect issuer, that is its discovery document and its
// keys; tokens are minted in process.
type issuer struct {
	url string
	key *ecdsa.PrivateKey
}

func startIssuer(tb testing.TB) *issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("generate the issuer's key: %v", err)
	}
	i := &issuer{key: key}
	mux := http.NewServeMux()
	for _, path := range []string{emailPath, workflowPath} {
		mux.HandleFunc("GET "+path+"/.well-known/openid-configuration", i.discovery)
	}
	mux.HandleFunc("GET /keys", i.keys)
	server := httptest.NewServer(mux)
	tb.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// discovery answers as OpenID Connect Discovery 1.0, section 4.2.
func (i *issuer) discovery(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/.well-known/openid-configuration")
	writeJSON(w, map[string]any{
		"issuer":                                i.url + path,
		"authorization_endpoint":                i.url + path + "/auth",
		"token_endpoint":                        i.url + path + "/token",
		"jwks_uri":                              i.url + "/keys",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
	})
}

func (i *issuer) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: keyID, Algorithm: string(jose.ES256), Use: "sig"}}})
}

func (i *issuer) mint(tb testing.TB, path, subject string, claims any) string {
	tb.Helper()
	token, err := mint(i.key, i.url+path, subject, claims)
	if err != nil {
		tb.Fatalf("mint an identity token for %s: %v", subject, err)
	}
	return token
}

func mint(key crypto.Signer, from, subject string, claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("signer of tokens: %w", err)
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer:   from,
		Subject:  subject,
		Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(tokenLifetime)),
	}).Claims(claims).Serialize()
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
