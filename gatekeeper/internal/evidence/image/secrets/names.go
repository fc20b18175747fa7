package secrets

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Names that end in one of these words hold a secret when their value is one.
// PASSWORD_FILE, TOKEN_URL or GPG_KEY do not end so.
var (
	// passwords are secret however short they are.
	passwords = regexp.MustCompile(`(?i)(?:^|[._-])(?:[a-z0-9]*password|passwd|passphrase|pass)$|(?i)._pwd$`)
	// others are looked at twice: MAX_TOKEN=4096 is none.
	others = regexp.MustCompile(`(?i)(?:^|[._-])(?:[a-z]*token|[a-z]*secret|secret_?key_?base|` +
		`(?:api|access|secret|private|encryption|signing|master|account|storage|auth)[_-]?key|credentials?)$`)
	// amazon is the other half of an access key (IAM User Guide).
	amazon = regexp.MustCompile(`(?i)(?:^|[._-])aws_?secret_?(?:access_?)?key$`)
)

// maxJudged bounds how much of a value is looked at to see what it is, in bytes.
const maxJudged = 1 << 10

// named says what a value is because of its name; empty: nothing secret.
func named(name, value string) string {
	value = unquoted(value)
	value = value[:min(len(value), maxJudged)]
	switch {
	case !isLiteral(value):
		return ""
	case amazon.MatchString(name):
		return "aws-secret-access-key"
	case passwords.MatchString(name):
		return "password"
	case others.MatchString(name) && isRandom(value):
		return "token"
	}
	return ""
}

// isRandom says whether a value looks like one that a machine made: no word,
// no number, not short.
func isRandom(value string) bool {
	if len(value) < 8 || strings.ContainsAny(value, " \t\n,") {
		return false
	}
	letters := strings.ContainsFunc(value, unicode.IsLetter)
	digits := strings.ContainsFunc(value, unicode.IsDigit)
	return letters && digits || len(value) >= 20 && strings.ToLower(value) != value && strings.ToUpper(value) != value
}

// isLiteral says whether a value is a secret itself, rather than a reference
// to one, a place where it is, or a word that stands in for it.
func isLiteral(value string) bool {
	value = unquoted(value)
	lower := strings.ToLower(value)
	switch {
	case strings.Trim(value, "*xX.-_ ") == "": // empty, or ***
		return false
	case strings.ContainsAny(value[:1], "$<%@") || strings.Contains(value, "${") || strings.Contains(value, "$("):
		return false // a variable, a template, or a hash as crypt(5) writes it
	case strings.HasPrefix(value, "{{"), strings.HasPrefix(lower, "file:"), strings.HasPrefix(lower, "arn:"), strings.HasPrefix(lower, "vault:"),
		strings.HasPrefix(lower, "sha256:"), strings.HasPrefix(lower, "env:"), strings.HasPrefix(lower, "secretref:"):
		return false
	case isPath(value):
		return false
	}
	return !slices.Contains(placeholders(), strings.Trim(lower, "<>[]()"))
}

// placeholders are what people write where a secret belongs, and what settings
// that are named like one are set to.
func placeholders() []string {
	return []string{
		"password", "passwd", "pass", "secret", "token", "changeme", "change-me", "change_me", "changeit", "example", "placeholder", "dummy",
		"redacted", "masked", "hidden", "your-password", "your_password", "your-token", "your_token", "none", "null", "nil", "undefined", "unset", "todo",
		"true", "false", "yes", "no", "on", "off", "0", "1", "enabled", "disabled", "required", "optional",
	}
}

// isPath says whether a value is the place of a file.
func isPath(value string) bool {
	rooted := strings.HasPrefix(value, "/") || strings.HasPrefix(value, "./") || strings.HasPrefix(value, "../") || strings.HasPrefix(value, "~/")
	return rooted && !strings.ContainsAny(value, "+=") && strings.Count(value, "/") > 1
}

// unquoted takes away the quotes of a shell.
func unquoted(value string) string {
	value = strings.TrimSpace(value)
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}
