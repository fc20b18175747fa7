package notifications

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// The grammar of the OCI distribution-spec v1.1 ("Pulling manifests"), and of
// digests in the OCI image-spec v1.1; of the algorithms only SHA-256 is taken.
var (
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestForm     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// maxRepository is the length of the longest repository name, in bytes.
const maxRepository = 255

// maxText bounds free text of a sender that is kept or logged, in characters.
const maxText = 256

// Validate checks everything in a push that becomes part of a request or of a
// file's name, and bounds the rest.
func (p *Push) Validate() error {
	switch {
	case len(p.Repository) > maxRepository || !repositoryForm.MatchString(p.Repository):
		return fmt.Errorf("repository %q is no repository name", short(p.Repository))
	case p.Tag != "" && !tagForm.MatchString(p.Tag):
		return fmt.Errorf("tag %q is no tag", short(p.Tag))
	case p.Digest != "" && !digestForm.MatchString(p.Digest):
		return fmt.Errorf("digest %q is not sha256: and 64 of 0-9a-f", short(p.Digest))
	case p.Tag == "" && p.Digest == "":
		return errors.New("neither tag nor digest")
	case len(p.EventID) > maxText:
		return errors.New("the id is too long")
	case p.EventID != printable(p.EventID):
		return errors.New("the id has characters that cannot be printed")
	}
	p.Actor, p.MediaType = printable(p.Actor), printable(p.MediaType)
	return nil
}

func short(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

// printable makes text of a sender fit for a log and a page: one line, of
// bounded length, without control characters.
func printable(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > maxText {
			return -1
		}
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
