package plain_test

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/plain"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"plain text":         {"déjà vu", "déjà vu"},
		"nothing":            {"", ""},
		"of the limit":       {"0123456789", "0123456789"},
		"longer":             {"0123456789x", "0123456789…"},
		"longer, of runes":   {strings.Repeat("é", 11), strings.Repeat("é", 10) + "…"},
		"an escape sequence": {"\x1b[31mred", " [31mred"},
		"lines":              {"a\r\nb\u2028c\u2029d", "a  b c d"},
		"turned around":      {"a\u202eb", "a b"},
		"no UTF-8":           {"a\xffb", "a b"},
	} {
		if got := plain.Line(tt.text, 10); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
