package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Error is a mistake in a file, with its place.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Key     string `json:"key,omitempty"` // the key or path concerned
	Message string `json:"message"`       // what is wrong and what to write instead
}

// Error prints file:line:column: key: message.
func (e *Error) Error() string {
	place := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Key != "" {
		place += e.Key + ": "
	}
	return place + e.Message
}

// translate turns the decoder's error into ours.
func translate(file string, body ast.Node, v any, err error) error {
	out := &Error{File: file, Line: 1, Column: 1, Message: err.Error()}
	var positioned yaml.Error
	if !errors.As(err, &positioned) {
		return locateText(out, body, v)
	}
	tk := positioned.GetToken()
	out.Message = positioned.GetMessage()
	out.Line, out.Column = position(tk)
	var unknown *yaml.UnknownFieldError
	var mistyped *yaml.TypeError
	var twice *yaml.DuplicateKeyError
	switch {
	case errors.As(err, &unknown):
		out.Key = tk.Value
		out.Message = "unknown key" + advice(tk.Value, knownKeys(reflect.TypeOf(v), pathOf(body, tk)))
	case errors.As(err, &mistyped):
		out.Key = strings.TrimPrefix(pathOf(body, tk), "$.")
		out.Message = fmt.Sprintf("%q does not fit here; write %s", tk.Value, kindOf(mistyped.DstType))
	case strings.HasPrefix(out.Message, "mapping key"), errors.As(err, &twice):
		out.Key, out.Message = tk.Value, "the key is there twice; keep one of them"
	case body != nil:
		out.Key = strings.TrimPrefix(pathOf(body, tk), "$.")
	}
	return out
}

// locateText finds the value that a type's own UnmarshalText refused; the
// decoder hands such errors on without a place.
func locateText(e *Error, body ast.Node, v any) error {
	if body == nil {
		return e
	}
	ast.Walk(visitor(func(node ast.Node) {
		t := typeAt(reflect.TypeOf(v), node.GetPath())
		if _, scalar := node.(ast.ScalarNode); !scalar || t == nil || e.Key != "" {
			return
		}
		text, ok := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t))
		if !ok || node.GetToken() == nil {
			return
		}
		if err := text.UnmarshalText([]byte(node.GetToken().Value)); err != nil && err.Error() == e.Message {
			e.Line, e.Column = position(node.GetToken())
			e.Key = strings.TrimPrefix(node.GetPath(), "$.")
		}
	}), body)
	return e
}

// visitor is an ast.Visitor that looks at every node.
type visitor func(ast.Node)

// Visit implements ast.Visitor.
func (f visitor) Visit(node ast.Node) ast.Visitor {
	f(node)
	return f
}

func position(tk *token.Token) (line, column int) {
	if tk == nil || tk.Position == nil {
		return 1, 1
	}
	return tk.Position.Line, tk.Position.Column
}

// advice names the key that was probably meant, and all that are known.
func advice(key string, known []string) string {
	if len(known) == 0 {
		return "; leave it out"
	}
	best, distance := "", 1+len(key)/3
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(key), strings.ToLower(k)); d <= distance {
			best, distance = k, d-1
		}
	}
	all := "known here: " + strings.Join(known, ", ")
	if best == "" {
		return "; " + all
	}
	return fmt.Sprintf("; write %q instead (%s)", best, all)
}

// pathOf finds the path of the node that a token begins.
func pathOf(body ast.Node, tk *token.Token) string {
	path := ""
	if body == nil || tk == nil || tk.Position == nil {
		return path
	}
	ast.Walk(visitor(func(node ast.Node) {
		at := node.GetToken()
		if path == "" && at != nil && at.Position != nil && at.Position.Offset == tk.Position.Offset && at.Value == tk.Value {
			path = node.GetPath()
		}
	}), body)
	return path
}

// knownKeys lists the keys of the struct that holds the key at path.
func knownKeys(t reflect.Type, path string) []string {
	holder := typeAt(t, parent(path))
	if holder == nil {
		return nil
	}
	return keys(holder)
}

// typeAt follows a path through structs, maps and lists; nil when it leads
// nowhere.
func typeAt(t reflect.Type, path string) reflect.Type {
	elements := strings.FieldsFunc(strings.TrimPrefix(path, "$"), func(r rune) bool { return r == '.' || r == '[' })
	for _, element := range elements {
		t = indirect(t)
		if t.Kind() == reflect.Slice && strings.HasSuffix(element, "]") {
			t = t.Elem()
			continue
		}
		if t = fieldType(t, element); t == nil {
			return nil
		}
	}
	return indirect(t)
}

func keys(t reflect.Type) []string {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var known []string
	for field := range t.Fields() {
		tag, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case strings.Contains(options, "inline"):
			known = append(known, keys(indirect(field.Type))...)
		case tag != "" && tag != "-":
			known = append(known, tag)
		}
	}
	slices.Sort(known)
	return known
}

func fieldType(t reflect.Type, key string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for field := range t.Fields() {
		if tag, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); tag == key {
			return field.Type
		}
	}
	return nil
}

func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// kindOf says in plain words what a Go type wants to be written.
func kindOf(t reflect.Type) string {
	switch indirect(t).Kind() { //nolint:exhaustive // the kinds that are written; the rest are mappings
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a text"
	case reflect.Slice, reflect.Array:
		return "a list: [ … ]"
	default:
		return "a mapping: {key: value}"
	}
}
