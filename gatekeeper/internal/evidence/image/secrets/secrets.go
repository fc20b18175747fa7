// Package secrets recognises secrets in the texts of an image's configuration:
// tokens by the formats that their issuers publish, private keys, passwords in
// URLs, and values that are named a password or a token. It tells what a secret
// is and where, and gives back the text without it; the secret itself goes no
// further.
//
// It prefers to miss one over taking something else for one: what it finds
// refuses images.
package secrets

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// masked stands in for a secret.
const masked = "<masked>"

// Found is the outcome of looking at one text.
type Found struct {
	Text   string   // without the secrets
	Kinds  []string // what they are, sorted, each once: "github-token"
	values []string // the secrets themselves, to find them elsewhere
}

// span is where a secret is in a text.
type span struct {
	from, to int
	kind     string
}

// Variable looks at an environment variable, NAME=value. What it is named
// counts, and so does what is set in its value, as in JAVA_OPTS or in the
// connection string of a database.
func Variable(entry string) Found {
	spans := formatted(entry)
	if name, value, ok := strings.Cut(entry, "="); ok {
		if kind := named(name, value); kind != "" {
			spans = append(spans, span{len(name) + 1, len(entry), kind})
		}
		for _, s := range assigned(value) {
			spans = append(spans, span{len(name) + 1 + s.from, len(name) + 1 + s.to, s.kind})
		}
	}
	return mask(entry, spans)
}

// Text looks at a text that is no command: a label or an annotation.
func Text(text string) Found { return mask(text, formatted(text)) }

// Command looks at a command, or at what built a layer: variables and options
// that are set in it count as what they are named.
func Command(text string) Found {
	return mask(text, append(formatted(text), append(assigned(text), options(text)...)...))
}

// Arguments looks at the arguments of a command, of which an option's value may
// be the next one, as Command does.
func Arguments(arguments []string) []Found {
	all := make([]Found, 0, len(arguments))
	for i, argument := range arguments {
		spans := append(formatted(argument), append(assigned(argument), options(argument)...)...)
		if i > 0 && separateOption.MatchString(arguments[i-1]) && !strings.HasPrefix(argument, "-") && isLiteral(argument) {
			spans = append(spans, span{0, len(argument), "password"})
		}
		all = append(all, mask(argument, spans))
	}
	return all
}

// formatted finds what is known by its format.
func formatted(text string) []span {
	spans := privateKeys(text)
	for _, f := range formats {
		if !strings.Contains(text, f.mark) {
			continue
		}
		for _, at := range f.pattern.FindAllStringSubmatchIndex(text, -1) {
			if f.really == nil || f.really(groups(text, at)) {
				spans = append(spans, span{at[2], at[3], f.kind})
			}
		}
	}
	return spans
}

// groups are the texts of a match and its groups.
func groups(text string, at []int) []string {
	all := make([]string, len(at)/2)
	for i := range all {
		if at[2*i] >= 0 {
			all[i] = text[at[2*i]:at[2*i+1]]
		}
	}
	return all
}

var (
	// assignment is a variable that is set in a command. A value in quotes ends
	// with them, another at a space or an operator of the shell.
	assignment = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)=(` + value + `)`)
	// option is one with its value behind a space.
	option = regexp.MustCompile(`(?:^|\s)--?((?i)` + optionNames + `)\s+(` + value + `)`)
	// separateOption is one whose value is the next argument.
	separateOption = regexp.MustCompile(`^--?(?i)` + optionNames + `$`)
	// instruction is a layer's history of an instruction of a Dockerfile that
	// sets variables, or the build arguments in front of a command ("|1 A=b").
	// There a value has no quotes and may have spaces.
	instruction = regexp.MustCompile(`^(?:/bin/sh -c )?(?:#\(nop\)\s*)?(?:ENV|ARG|LABEL|RUN)?\s*(?:\|[0-9]+ )?`)
	// next is where another variable, or a comment, follows.
	next = regexp.MustCompile(`\s+(?:[A-Za-z_][A-Za-z0-9_.-]*=|#)`)
)

// value is a word of a shell; quotes that nobody closes go on to the end.
const value = `(?:"(?:[^"\\]|\\.)*(?:"|$)|'[^']*(?:'|$)|\\.|[^\s;&|<>"'\\])+`

// optionNames are the options that take a secret.
const optionNames = `(?:password|passwd|token|api-?key|secret|secret-key|access-key|access-token|auth-token|private-key|client-secret|passphrase)`

// assigned finds variables and options (--password=…) with a secret value.
func assigned(text string) []span {
	var spans []span
	bare := bareUntil(text)
	ends := next.FindAllStringIndex(text[:bare], -1)
	for _, at := range assignment.FindAllStringSubmatchIndex(text, -1) {
		from, to := at[4], at[5]
		if from < bare && !strings.ContainsAny(text[from:from+1], `"'`) {
			for len(ends) > 0 && ends[0][0] < from {
				ends = ends[1:]
			}
			if to = bare; len(ends) > 0 {
				to = ends[0][0]
			}
		}
		if kind := named(text[at[2]:at[3]], text[from:to]); kind != "" {
			spans = append(spans, span{from, to, kind})
		}
	}
	return spans
}

// bareUntil is up to where values have no quotes.
func bareUntil(text string) int {
	head := instruction.FindString(text)
	switch {
	case strings.Contains(head, "|"):
		if shell := strings.Index(text, " /"); shell >= 0 {
			return shell
		}
		return len(text)
	case strings.Contains(head, "ENV"), strings.Contains(head, "ARG"):
		return len(text)
	}
	return 0
}

// options finds options whose value is behind a space.
func options(text string) []span {
	var spans []span
	for _, at := range option.FindAllStringSubmatchIndex(text, -1) {
		if text[at[4]] != '-' && isLiteral(text[at[4]:at[5]]) {
			spans = append(spans, span{at[4], at[5], "password"})
		}
	}
	return spans
}

// mask puts a mark in the place of each secret. Spans that overlap become one,
// which is what its format says rather than what its name does.
func mask(text string, spans []span) Found {
	if len(spans) == 0 {
		return Found{Text: text}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
	var f Found
	var out strings.Builder
	done := 0
	for len(spans) > 0 {
		from, to := spans[0].from, spans[0].to
		n := 0
		for ; n < len(spans) && spans[n].from < to; n++ {
			to = max(to, spans[n].to)
			f.values = append(f.values, unquoted(text[spans[n].from:spans[n].to]))
		}
		f.Kinds = append(f.Kinds, kinds(spans[:n])...)
		out.WriteString(text[done:from] + masked)
		done, spans = to, spans[n:]
	}
	out.WriteString(text[done:])
	f.Text = out.String()
	slices.Sort(f.Kinds)
	f.Kinds = slices.Compact(f.Kinds)
	return f
}

// kinds are those of spans that overlap.
func kinds(spans []span) []string {
	var known, byName []string
	for _, s := range spans {
		if s.kind == "token" || s.kind == "password" {
			byName = append(byName, s.kind)
		} else {
			known = append(known, s.kind)
		}
	}
	if len(known) > 0 {
		return known
	}
	return byName
}
