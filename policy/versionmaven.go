package policy

import (
	"slices"
	"strconv"
	"strings"
)

// mavenItem is a part of a Maven version (org.apache.maven.artifact.versioning,
// ComparableVersion of Maven 4): a number, a word with a number or without, or
// a list of parts.
type mavenItem struct {
	kind   mavenKind
	number string // digits without zeros in front; of a number, and of a word's number
	word   string
	list   []*mavenItem
}

type mavenKind int

const (
	mavenWord mavenKind = iota // in the order in which different kinds compare
	mavenNumberedWord
	mavenList
	mavenNumber
)

// parseMaven never fails: every text is a version of Maven.
func parseMaven(v string) (*mavenItem, error) {
	root := &mavenItem{kind: mavenList}
	p := mavenParser{list: root, open: []*mavenItem{root}}
	text := strings.ToLower(v)
	for i := 0; i < len(text); i++ {
		p.take(text, i)
	}
	if p.start < len(text) {
		if !p.digits && len(p.list.list) > 0 { // .X is -X
			p.nest()
		}
		p.add(text[p.start:])
	}
	for _, list := range slices.Backward(p.open) {
		list.normalise()
	}
	return root, nil
}

// mavenParser goes through a version, a byte at a time.
type mavenParser struct {
	list     *mavenItem
	open     []*mavenItem
	start    int  // of the part
	digits   bool // the last byte was a digit
	numbered bool // the part is a word and its number
}

func (p *mavenParser) take(text string, i int) {
	switch c := text[i]; {
	case c == '.':
		p.end(text, i)
	case c == '-':
		if i > p.start && !p.digits && i+1 < len(text) && isDigits(text[i+1:i+2]) {
			p.numbered = true // X-1 is X1
			return
		}
		p.end(text, i)
		p.nest()
	case '0' <= c && c <= '9':
		if !p.digits && i > p.start {
			p.numbered = true
			if len(p.list.list) > 0 {
				p.nest()
			}
		}
		p.digits = true
	default:
		if p.digits && i > p.start {
			p.add(text[p.start:i])
			p.start = i
			p.nest()
		}
		p.digits = false
	}
}

// end ends a part at a separator.
func (p *mavenParser) end(text string, i int) {
	if i == p.start {
		p.list.list = append(p.list.list, &mavenItem{kind: mavenNumber})
	} else {
		p.add(text[p.start:i])
	}
	p.start, p.numbered = i+1, false
}

// nest begins a list in the list.
func (p *mavenParser) nest() {
	inner := &mavenItem{kind: mavenList}
	p.list.list = append(p.list.list, inner)
	p.list = inner
	p.open = append(p.open, inner)
}

func (p *mavenParser) add(part string) {
	item := &mavenItem{kind: mavenWord, word: part}
	switch {
	case p.numbered:
		at := strings.IndexAny(part, "0123456789")
		item = &mavenItem{kind: mavenNumberedWord, word: strings.TrimSuffix(part[:at], "-"), number: strings.TrimLeft(part[at:], "0")}
		short := map[string]string{"a": "alpha", "b": "beta", "m": "milestone"}
		if long := short[item.word]; long != "" {
			item.word = long
		}
	case p.digits:
		item = &mavenItem{kind: mavenNumber, number: strings.TrimLeft(part, "0")}
	}
	p.numbered = false
	p.list.list = append(p.list.list, item)
}

// normalise leaves out what makes no difference: nothing at the end, and in
// front of a word.
func (m *mavenItem) normalise() {
	for i, item := range slices.Backward(m.list) {
		if !item.isNothing() {
			continue
		}
		last := i == len(m.list)-1
		if last || m.list[i+1].kind == mavenWord || m.list[i+1].beginsWithWord() {
			m.list = slices.Delete(m.list, i, i+1)
		}
	}
}

func (m *mavenItem) isNothing() bool {
	return m.kind == mavenNumber && m.number == "" || m.kind == mavenList && len(m.list) == 0 || m.kind == mavenWord && m.word == ""
}

func (m *mavenItem) beginsWithWord() bool {
	return m.kind == mavenList && len(m.list) > 0 && (m.list[0].kind == mavenWord || m.list[0].kind == mavenNumberedWord)
}

// compare compares parts; nil stands for a part that is missing.
func (m *mavenItem) compare(other *mavenItem) int {
	switch {
	case m == nil && other == nil:
		return 0
	case m == nil:
		return -other.compareToNothing()
	case other == nil:
		return m.compareToNothing()
	case m.isWord() && other.isWord():
		return m.compareWords(other)
	case m.kind != other.kind:
		return int(m.kind - other.kind)
	case m.kind == mavenNumber:
		return compareDigits(m.number, other.number)
	}
	for i := range max(len(m.list), len(other.list)) {
		if order := m.at(i).compare(other.at(i)); order != 0 {
			return order
		}
	}
	return 0
}

func (m *mavenItem) isWord() bool { return m.kind == mavenWord || m.kind == mavenNumberedWord }

func (m *mavenItem) at(i int) *mavenItem {
	if i < len(m.list) {
		return m.list[i]
	}
	return nil
}

func (m *mavenItem) compareToNothing() int {
	switch m.kind {
	case mavenNumber:
		return len(m.number)
	case mavenWord, mavenNumberedWord:
		return strings.Compare(mavenQualifier(m.word), mavenQualifier(""))
	case mavenList:
		for _, item := range m.list {
			if order := item.compareToNothing(); order != 0 {
				return order
			}
		}
	}
	return 0
}

// compareWords compares words by what they are known for, then by their
// numbers: X is older than X1.
func (m *mavenItem) compareWords(other *mavenItem) int {
	order := strings.Compare(mavenQualifier(m.word), mavenQualifier(other.word))
	switch {
	case order != 0:
		return order
	case m.kind != other.kind:
		return int(m.kind - other.kind)
	}
	return compareDigits(m.number, other.number)
}

// mavenQualifier makes words comparable: the known ones in their order, and
// all others after them.
func mavenQualifier(word string) string {
	known := []string{"alpha", "beta", "milestone", "rc", "snapshot", "", "sp"}
	switch word {
	case "ga", "final", "release":
		word = ""
	case "cr":
		word = "rc"
	}
	if i := slices.Index(known, word); i >= 0 {
		return strconv.Itoa(i)
	}
	return strconv.Itoa(len(known)) + "-" + word
}
