package notifications_test

import (
	"encoding/base64"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strings"
	"testing"
)

// A token that brings the key along that verifies it, or that asks for no
// signature, counts for nothing: what counts is the secret.
func TestAttack_CVE_2025_24976(t *testing.T) {
	t.Parallel()
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	claims := encode(`{"iss":"staging","sub":"registry","exp":4102444800}`)
	for name, header := range map[string]string{
		"no algorithm":  `{"alg":"none"}`,
		"its own key":   `{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}`,
		"its own chain": `{"alg":"RS256","x5c":["MIIB"]}`,
		"a key's place": `{"alg":"HS256","kid":"../../dev/null"}`,
	} {
		f := newFixture()
		w := f.send("/webhooks/staging", line("v1"), func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+encode(header)+"."+claims+"."+secret)
		})
		if w.Code != http.StatusUnauthorized || len(f.sink.pushes) != 0 {
			t.Errorf("%s: status %d, %d pushes", name, w.Code, len(f.sink.pushes))
		}
	}
}

// How long a comparison of secrets takes tells how much of one is right: no
// secret is compared but by crypto/subtle, over hashes of one length.
func TestAttack_CVE_2023_20902(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"", secret[:1], secret[:len(secret)-1], secret + "x", strings.ToUpper(secret), strings.Repeat("x", 1<<16)} {
		f := newFixture()
		w := f.send("/webhooks/staging", line("v1"), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+wrong) })
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%.20q: status %d", wrong, w.Code)
		}
	}
	for file, function := range map[string]string{"handler.go": "authenticates", "../gatekeeper/internal/web/access.go": "sameSecret"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		constant := false
		ast.Inspect(parsed, func(n ast.Node) bool {
			f, ok := n.(*ast.FuncDecl)
			if !ok || f.Name.Name != function {
				return true
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				constant = constant || ok && s.Sel.Name == "ConstantTimeCompare"
				return true
			})
			return false
		})
		if !constant {
			t.Errorf("%s: %s does not compare in constant time", file, function)
		}
	}
}
