package registry

import (
	"net/http"
	"strings"
)

// challenge is how a registry wants to be authenticated to (RFC 9110, section
// 11.6.1). The zero value wants nothing.
type challenge struct {
	scheme  string // "basic" or "bearer"; empty: none that is known
	realm   string
	service string
}

// maxParameter bounds a challenge's parameters, in bytes: they are remembered.
const maxParameter = 2048

// challengeOf picks the first challenge with a scheme that is known.
func challengeOf(header http.Header) challenge {
	for _, value := range header.Values("WWW-Authenticate") {
		for p := (&parser{rest: value}); !p.done(); {
			c := p.challenge()
			if len(c.realm) > maxParameter || len(c.service) > maxParameter {
				c.realm, c.service = "", "" // no token server is found by it
			}
			if c.scheme == "basic" || c.scheme == "bearer" {
				return c
			}
		}
	}
	return challenge{}
}

// parser reads a WWW-Authenticate header. It takes what it understands and
// skips the rest: a challenge that is read wrongly leads to a token server
// that is refused, or to none.
type parser struct{ rest string }

func (p *parser) done() bool {
	p.rest = strings.TrimLeft(p.rest, " \t,")
	return p.rest == ""
}

// challenge reads a scheme and the parameters that follow it.
func (p *parser) challenge() challenge {
	c := challenge{scheme: strings.ToLower(p.token())}
	if c.scheme == "" {
		p.rest = p.rest[1:] // no token: leave out what is there
	}
	for !p.done() {
		before := p.rest
		key := strings.ToLower(p.token())
		p.rest = strings.TrimLeft(p.rest, " \t")
		after, ok := strings.CutPrefix(p.rest, "=")
		if key == "" || !ok {
			p.rest = before // the next scheme
			return c
		}
		p.rest = strings.TrimLeft(after, " \t")
		value := p.value()
		switch {
		case key == "realm" && c.realm == "":
			c.realm = value
		case key == "service" && c.service == "":
			c.service = value
		}
	}
	return c
}

func (p *parser) token() string {
	end := strings.IndexAny(p.rest, " \t,=\"")
	if end < 0 {
		end = len(p.rest)
	}
	token := p.rest[:end]
	p.rest = p.rest[end:]
	return token
}

// value reads a token or a quoted string.
func (p *parser) value() string {
	if !strings.HasPrefix(p.rest, `"`) {
		return p.token()
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '"':
			p.rest = p.rest[i+1:]
			return b.String()
		case '\\':
			if i++; i == len(p.rest) {
				break
			}
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(p.rest[i])
		}
	}
	p.rest = ""
	return b.String()
}
