package strictyaml

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// exactNumbers keeps numbers as they are written where they would be read as
// others: a version 1.10 is not 1.1. What wants a number can still read them.
type exactNumbers struct{}

// Visit implements ast.Visitor.
func (v exactNumbers) Visit(node ast.Node) ast.Visitor {
	switch n := node.(type) {
	case *ast.MappingValueNode:
		n.Value = exact(n.Value)
	case *ast.SequenceNode:
		for i := range n.Values {
			n.Values[i] = exact(n.Values[i])
		}
	}
	return v
}

func exact(node ast.Node) ast.Node {
	var value any
	switch n := node.(type) {
	case *ast.FloatNode:
		value = n.Value
	case *ast.IntegerNode:
		value = n.Value
	default:
		return node
	}
	if tk := node.GetToken(); tk.Value != fmt.Sprint(value) {
		return ast.String(tk)
	}
	return node
}
