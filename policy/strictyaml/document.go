// Package strictyaml reads YAML files that people write and that decide
// something: an unknown key is an error, and every error names the file, the
// line, the column, the key and what to write instead.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxSize is the size of the largest file that is read, in bytes.
const MaxSize = 1 << 20

// maxDepth bounds how deep mappings and sequences nest.
const maxDepth = 64

// Document is one YAML document of a file.
type Document struct {
	file string
	body ast.Node
}

// Unmarshal decodes a file of exactly one document into v, a pointer to a
// struct.
func Unmarshal(file string, data []byte, v any) error {
	docs, err := Parse(file, data)
	if err != nil {
		return err
	}
	if len(docs) != 1 {
		return &Error{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("%d documents, want exactly one", len(docs))}
	}
	return docs[0].Decode(v)
}

// Parse splits a file into its documents, leaving out empty ones. Anchors and
// aliases are refused: they make small files large.
func Parse(file string, data []byte) ([]*Document, error) {
	if len(data) > MaxSize {
		return nil, &Error{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), MaxSize)}
	}
	if !bytes.Equal(bytes.ToValidUTF8(data, nil), data) {
		return nil, &Error{File: file, Line: 1, Column: 1, Message: "the file is not UTF-8"}
	}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, translate(file, nil, nil, err)
	}
	var docs []*Document
	for _, d := range parsed.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.CommentGroupType {
			continue
		}
		var refused error
		ast.Walk(limitVisitor{file: file, err: &refused}, d.Body)
		if refused != nil {
			return nil, refused
		}
		ast.Walk(exactNumbers{}, d.Body)
		docs = append(docs, &Document{file: file, body: d.Body})
	}
	return docs, nil
}

// Decode decodes the document into v, a pointer to a struct, strictly.
func (d *Document) Decode(v any) error {
	if err := yaml.NewDecoder(bytes.NewReader(nil), yaml.Strict()).DecodeFromNode(d.body, v); err != nil {
		return translate(d.file, d.body, v, err)
	}
	return nil
}

// Text returns the text at a path of the document, such as "$.kind"; empty when
// there is none.
func (d *Document) Text(path string) string {
	node, err := find(d.body, path)
	if err != nil {
		return ""
	}
	if text, ok := node.(*ast.StringNode); ok {
		return text.Value
	}
	return ""
}

// Errorf returns an error that points at a path of the document, such as
// "$.spec.rules[0].expression", or at the nearest parent that exists.
func (d *Document) Errorf(path, format string, args ...any) error {
	e := &Error{File: d.file, Line: 1, Column: 1, Key: strings.TrimPrefix(path, "$."), Message: fmt.Sprintf(format, args...)}
	for at := path; at != ""; at = parent(at) {
		node, err := find(d.body, at)
		if err != nil {
			continue
		}
		if tk := node.GetToken(); tk != nil && tk.Position != nil {
			e.Line, e.Column = tk.Position.Line, tk.Position.Column
		}
		break
	}
	return e
}

func find(body ast.Node, path string) (ast.Node, error) {
	p, err := yaml.PathString(path)
	if err != nil {
		return nil, err
	}
	node, err := p.FilterNode(body)
	if err != nil {
		return nil, err
	}
	if node == nil {
		return nil, errors.New("no such node")
	}
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return m.Values[0].Key, nil // a mapping's own token is its first colon
	}
	if m, ok := node.(*ast.MappingValueNode); ok {
		return m.Key, nil
	}
	return node, nil
}

// parent cuts the last element off a path.
func parent(path string) string {
	i := strings.LastIndexAny(path, ".[")
	if i < 0 {
		return ""
	}
	return path[:i]
}

// limitVisitor refuses anchors, aliases, merge keys and deep nesting.
type limitVisitor struct {
	file  string
	depth int
	err   *error // shared by the visitors of one document
}

// Visit implements ast.Visitor.
func (v limitVisitor) Visit(node ast.Node) ast.Visitor {
	if *v.err != nil {
		return nil
	}
	message := ""
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		message = "anchors and aliases are not read; write the value out"
	}
	if v.depth > maxDepth*3 { // one level of YAML is up to three nodes
		message = "nested too deeply"
	}
	if message != "" {
		line, column := position(node.GetToken())
		*v.err = &Error{File: v.file, Line: line, Column: column, Message: message}
		return nil
	}
	return limitVisitor{file: v.file, depth: v.depth + 1, err: v.err}
}
