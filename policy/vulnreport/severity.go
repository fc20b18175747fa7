package vulnreport

import (
	"slices"
	"strconv"
	"strings"
)

// severities lists the severities, worst first.
func severities() []string {
	return []string{"critical", "high", "medium", "low", "negligible", "unknown"}
}

// severityOf reads a word or a CVSS score (CVSS v3.1, section 5).
func severityOf(text string) (string, bool) {
	word := strings.ToLower(strings.TrimSpace(text))
	switch word {
	case "moderate":
		return "medium", true
	case "important":
		return "high", true
	case "none":
		return "negligible", true
	}
	if slices.Contains(severities(), word) {
		return word, true
	}
	score, err := strconv.ParseFloat(word, 64)
	switch {
	case err != nil || !(score >= 0 && score <= 10):
		return "", false
	case score >= 9:
		return "critical", true
	case score >= 7:
		return "high", true
	case score >= 4:
		return "medium", true
	case score > 0:
		return "low", true
	}
	return "negligible", true
}

// isWord says whether a severity is in words. Numbers are on the scale of
// whoever writes them.
func isWord(text string) bool { return !strings.ContainsAny(text, "0123456789") }

// worse returns the worse of two severities; the empty one is none.
func worse(a, b string) string {
	if a == "" || b != "" && slices.Index(severities(), b) < slices.Index(severities(), a) {
		return b
	}
	return a
}

// setSeverity takes a scanner's word; one that is not understood is unsaid.
func (v *Vulnerability) setSeverity(text string) {
	said, ok := severityOf(text)
	v.Severity, v.Unsaid.Severity = said, !ok
}
