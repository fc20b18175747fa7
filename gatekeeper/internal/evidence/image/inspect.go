package image

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/image/secrets"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The limits of what is recorded of a history, and of looking for secrets.
const (
	maxHistory  = 500       // entries
	maxCommand  = 4 << 10   // bytes of an entry's command and of its comment
	maxSearched = 512 << 10 // bytes of all texts of a platform
	maxSecrets  = 100
	maxWhere    = 200 // bytes
)

// inspect records the history of a platform and looks for secrets in all that
// its configuration says and in the annotations, its own and those of the
// index. What it finds is masked.
func inspect(p *policy.Platform, history []ocispec.History, index map[string]string) {
	s := &search{}
	p.Config.Env = s.each(p.Config.Env, "env", secrets.Variable)
	p.Config.Entrypoint = s.arguments(p.Config.Entrypoint, "entrypoint")
	p.Config.Cmd = s.arguments(p.Config.Cmd, "cmd")
	p.Labels = s.named(p.Labels, "label")
	p.Annotations = s.named(p.Annotations, "annotation")
	s.named(index, "annotation of the index")
	p.History, p.HistoryOmitted = s.history(history)
	s.maskEverywhere(p)
	p.Secrets = s.result()
}

// search looks at one text after the other.
type search struct {
	searched int // bytes
	skipped  bool
	found    []policy.Secret
	seen     secrets.Seen
}

// add takes a text's outcome down.
func (s *search) add(where string, f secrets.Found) string {
	for _, kind := range f.Kinds {
		s.found = append(s.found, policy.Secret{Where: cut(where, maxWhere), Kind: kind})
	}
	s.seen.Add(f)
	return f.Text
}

// affords says whether there is time left for a text of this size.
func (s *search) affords(size int) bool {
	if s.searched+size > maxSearched {
		s.skipped = true
		return false
	}
	s.searched += size
	return true
}

// each looks at variables. Their names are all that is said of them, and
// masked where they are secret themselves.
func (s *search) each(entries []string, kind string, look func(string) secrets.Found) []string {
	masked := slices.Clone(entries)
	for i, entry := range entries {
		if s.affords(len(entry)) {
			f := look(entry)
			name, _, _ := strings.Cut(f.Text, "=")
			masked[i] = s.add(kind+" "+name, f)
		}
	}
	return masked
}

func (s *search) arguments(arguments []string, kind string) []string {
	if !s.affords(len(strings.Join(arguments, ""))) {
		return arguments
	}
	masked := slices.Clone(arguments)
	for i, f := range secrets.Arguments(arguments) {
		masked[i] = s.add(fmt.Sprintf("%s[%d]", kind, i), f)
	}
	return masked
}

// named looks at labels or annotations, of which the name may be a secret, too.
func (s *search) named(texts map[string]string, kind string) map[string]string {
	if len(texts) == 0 {
		return texts
	}
	masked := make(map[string]string, len(texts))
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		text := texts[name]
		if s.affords(len(name) + len(text)) {
			f := secrets.Text(name)
			name = s.add(kind+" "+f.Text, f)
			text = s.add(kind+" "+name, secrets.Text(text))
		}
		masked[name] = text
	}
	return masked
}

// history looks at all that there is, and records the newest entries. What
// nobody looked at is not recorded.
func (s *search) history(entries []ocispec.History) (recorded []policy.History, omitted int) {
	omitted = max(0, len(entries)-maxHistory)
	for i, entry := range entries {
		h := policy.History{Created: entry.Created, EmptyLayer: entry.EmptyLayer, CreatedBy: "(not looked at)"}
		if s.affords(len(entry.CreatedBy) + len(entry.Comment) + len(entry.Author)) {
			where := fmt.Sprintf("history[%d]", i)
			h.CreatedBy = s.add(where, secrets.Command(entry.CreatedBy))
			h.Comment = s.add(where, secrets.Command(entry.Comment))
			s.add(where, secrets.Command(entry.Author))
		}
		if i >= omitted {
			recorded = append(recorded, h)
		}
	}
	return recorded, omitted
}

// maskEverywhere masks what was found in one place in all others.
func (s *search) maskEverywhere(p *policy.Platform) {
	for _, list := range [][]string{p.Config.Env, p.Config.Entrypoint, p.Config.Cmd} {
		for i := range list {
			list[i] = s.seen.Mask(list[i])
		}
	}
	for _, texts := range []map[string]string{p.Labels, p.Annotations} {
		for name := range texts {
			texts[name] = s.seen.Mask(texts[name])
		}
	}
	for i := range p.History {
		p.History[i].CreatedBy = cut(s.seen.Mask(p.History[i].CreatedBy), maxCommand)
		p.History[i].Comment = cut(s.seen.Mask(p.History[i].Comment), maxCommand)
	}
}

// result is the outcome, in order, each finding once.
func (s *search) result() *policy.SecretSearch {
	slices.SortFunc(s.found, func(a, b policy.Secret) int {
		return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.Kind, b.Kind))
	})
	all := slices.Compact(s.found)
	r := &policy.SecretSearch{Found: append([]policy.Secret{}, all[:min(len(all), maxSecrets)]...), Omitted: max(0, len(all)-maxSecrets)}
	if s.skipped {
		r.Incomplete = fmt.Sprintf("the configuration holds more text than the %d bytes that are searched for secrets", maxSearched)
	}
	return r
}

// maskIndex masks the annotations of an index, or of an image's manifest, where
// they are recorded for the whole subject.
func maskIndex(annotations map[string]string) map[string]string {
	return new(search).named(annotations, "")
}

// cut shortens a text, and says so.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes more)", text[:end], len(text)-end)
}
