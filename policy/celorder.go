package policy

import (
	"maps"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// inOrder hands values to CEL so that going over a map visits its keys in
// order. Go's order differs from run to run, and with it what an expression
// such as m.map(k, k)[0] yields; a judgement has to come out the same each time.
type inOrder struct{}

// NativeToValue implements types.Adapter for what encoding/json makes, and
// leaves the rest to CEL.
func (a inOrder) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case map[string]any:
		return orderedMap{types.NewStringInterfaceMap(a, v), v}
	case []any:
		return types.NewDynamicList(a, v)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// orderedMap is a map with an order. It hides the ways around Iterator that
// CEL's own maps have.
type orderedMap struct {
	traits.Mapper

	values map[string]any
}

// Iterator goes over the keys in order.
func (m orderedMap) Iterator() traits.Iterator {
	return types.NewStringList(inOrder{}, slices.Sorted(maps.Keys(m.values))).Iterator()
}

// IsZeroValue implements traits.Zeroer.
func (m orderedMap) IsZeroValue() bool { return len(m.values) == 0 }
