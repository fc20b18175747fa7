package secrets

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
)

// format is a kind of secret that is known by how it looks. The whole of the
// first group is the secret; what is in front of it in the match stays, so
// that people see what it was.
type format struct {
	kind    string
	mark    string // what every match holds; a text without it is not looked at further
	pattern *regexp.Regexp
	really  func(groups []string) bool // a second look at the groups; nil when the pattern is enough
}

// formats are those that their issuers publish: most have a prefix that was
// chosen so that they can be found, and a length. No pattern counts far, so that
// a text that is made to be slow is not.
//
//nolint:gochecknoglobals // a table
var formats = []format{
	// IAM User Guide, "IAM identifiers": AKIA for access keys, ASIA for
	// temporary ones; the documents' own example ends with EXAMPLE.
	{"aws-access-key-id", "AKIA", regexp.MustCompile(`\bAKIA([A-Z2-7]{16})\b`), notExample},
	{"aws-access-key-id", "ASIA", regexp.MustCompile(`\bASIA([A-Z2-7]{16})\b`), notExample},
	// GitHub Docs, "About authentication to GitHub", token formats.
	{"github-token", "gh", regexp.MustCompile(`\bgh[pousr]_([A-Za-z0-9]{36,})\b`), nil},
	{"github-token", "github_pat_", regexp.MustCompile(`\bgithub_pat_([A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b`), nil},
	// GitLab Docs, "Token overview", token prefixes.
	{"gitlab-token", "gl", regexp.MustCompile(`\bgl(?:pat|oas|dt|rt|cbt|ptt|ft|agent|soat|imt)-([A-Za-z0-9_=.-]{20,})`), nil},
	// Slack API documentation, "Token types" and "Incoming webhooks".
	{"slack-token", "xox", regexp.MustCompile(`\bxox[abeoprs]-((?:[0-9]+-){1,4}[A-Za-z0-9-]{10,})`), nil},
	{"slack-webhook", "hooks.slack.com", regexp.MustCompile(`\bhooks\.slack\.com/services/(T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,})`), nil},
	// Google Cloud documentation, "Manage API keys".
	{"google-api-key", "AIza", regexp.MustCompile(`\bAIza([A-Za-z0-9_-]{35})(?:[^A-Za-z0-9_-]|$)`), nil},
	// RFC 7519 in the compact serialization of RFC 7515.
	{"jwt", "eyJ", regexp.MustCompile(`\b(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,})`), isJWT},
	// GitHub's blog, "npm's new access token format".
	{"npm-token", "npm_", regexp.MustCompile(`\bnpm_([A-Za-z0-9]{36})\b`), nil},
	// PyPI's help, "How can I use API tokens": a macaroon in base64.
	{"pypi-token", "pypi-AgE", regexp.MustCompile(`\bpypi-(AgE[A-Za-z0-9_-]{50,})`), nil},
	// Stripe's documentation, "API keys": live keys; those for tests open nothing.
	{"stripe-key", "k_live_", regexp.MustCompile(`\b[sr]k_live_([A-Za-z0-9]{16,})\b`), nil},
	// Docker Docs, "Personal access tokens".
	{"docker-token", "dckr_", regexp.MustCompile(`\bdckr_(?:pat|oat)_([A-Za-z0-9_-]{27,})`), nil},
	// Vault's documentation, "Tokens": service, batch and recovery tokens.
	{"vault-token", "hv", regexp.MustCompile(`\bhv[sbr]\.([A-Za-z0-9_-]{24,})`), nil},
	// DigitalOcean's API reference, token prefixes.
	{"digitalocean-token", "_v1_", regexp.MustCompile(`\bdo[opr]_v1_([a-f0-9]{64})\b`), nil},
	// Twilio SendGrid's documentation, "API keys".
	{"sendgrid-key", "SG.", regexp.MustCompile(`\bSG\.([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})`), nil},
	// Azure Storage's documentation, "Configure connection strings".
	{"azure-storage-key", "AccountKey=", regexp.MustCompile(`\bAccountKey=([A-Za-z0-9+/]{86}==)`), nil},
	// RFC 9110, section 11.6.2, as curl and wget are given it.
	{"authorization-header", "", regexp.MustCompile(`(?i)\bauthorization\s*:\s*(?:bearer|basic|token)\s+([A-Za-z0-9+/_=.~-]{16,})`), nil},
	// RFC 3986, section 3.2.1: user and password in front of the host. A tag
	// with a digest (docker://nginx:1.27@sha256:…) looks the same.
	{"url-credentials", "://", regexp.MustCompile(`\b[A-Za-z][A-Za-z0-9+.-]+://[^\s/:@'"?#]*:([^\s/'"]+)@(sha[0-9]+:)?`), isPassword},
	// RFC 7468: a private key in PEM, in base64, as variables often hold it.
	{"private-key", "LS0tLS1CRUdJTi", regexp.MustCompile(`\b(LS0tLS1CRUdJTi[A-Za-z0-9+/]{60,}={0,2})`), isPrivateKey},
}

// notExample leaves out the access key of Amazon's documents.
func notExample(groups []string) bool { return !strings.HasSuffix(groups[1], "EXAMPLE") }

func isPassword(groups []string) bool { return groups[2] == "" && isLiteral(groups[1]) }

// isJWT says whether the first part is a JOSE header with an algorithm that
// signs.
func isJWT(groups []string) bool {
	head, _, _ := strings.Cut(groups[1], ".")
	data, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return false
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	return json.Unmarshal(data, &header) == nil && header.Algorithm != "" && header.Algorithm != "none"
}

// isPrivateKey says whether the base64 text begins like a private key in PEM.
func isPrivateKey(groups []string) bool {
	const enough = 64 // characters of the first line, and then some
	head, err := base64.RawStdEncoding.DecodeString(groups[1][:enough])
	return err == nil && strings.Contains(string(head), "PRIVATE KEY")
}
