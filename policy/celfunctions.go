package policy

import (
	"fmt"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/Masterminds/semver/v3"
	"github.com/package-url/packageurl-go"
)

// celFunctions are those that expressions have beside CEL's own. One that is
// given what it cannot read has no answer, and then nor has the rule.
func celFunctions() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function("isSemver", cel.Overload("is_semver_string", []*cel.Type{cel.StringType}, cel.BoolType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				_, err := semver.StrictNewVersion(trimV(text(v)))
				return types.Bool(err == nil)
			}))),
		cel.Function("semverMatches", cel.Overload("semver_matches_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(v, constraint ref.Val) ref.Val {
				holds, err := semverMatches(text(v), text(constraint))
				if err != nil {
					return types.NewErr("semverMatches: %v", err)
				}
				return types.Bool(holds)
			}))),
		cel.Function("versionCompare", cel.Overload("version_compare_string_string_string",
			[]*cel.Type{cel.StringType, cel.StringType, cel.StringType}, cel.IntType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				order, err := compareVersions(text(args[0]), text(args[1]), text(args[2]))
				if err != nil {
					return types.NewErr("versionCompare: %v", err)
				}
				return types.Int(order)
			}))),
		cel.Function("purl", cel.Overload("purl_string", []*cel.Type{cel.StringType}, cel.MapType(cel.StringType, cel.DynType),
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				parts, err := purlParts(text(v))
				if err != nil {
					return types.NewErr("purl: %v", err)
				}
				return inOrder{}.NativeToValue(parts)
			}))),
		cel.Function("days", cel.Overload("days_int", []*cel.Type{cel.IntType}, cel.DurationType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				n, ok := v.Value().(int64)
				if !ok || n < -maxDays || n > maxDays {
					return types.NewErr("days: %v is no number from %d to %d", v.Value(), -maxDays, maxDays)
				}
				return types.Duration{Duration: time.Duration(n) * 24 * time.Hour}
			}))),
	}
}

// callCosts is what calls of these functions cost, in CEL's units: about what they
// take, beside one for a comparison.
type callCosts struct{}

// CallCost implements interpreter.ActualCostEstimator.
func (callCosts) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	var cost uint64
	switch function {
	case "semverMatches": // reads the range each time
		cost = 100
	case "isSemver", "versionCompare", "purl":
		cost = 20
	default:
		return nil // CEL knows
	}
	for _, arg := range args {
		cost += uint64(len(text(arg)))
	}
	return &cost
}

// maxDays is a hundred years.
const maxDays = 36525

// text is a string of CEL's.
func text(v ref.Val) string {
	s, _ := v.Value().(string)
	return s
}

// trimV takes off the v that tags have in front of a version.
func trimV(version string) string {
	if len(version) > 1 && version[0] == 'v' {
		return version[1:]
	}
	return version
}

// semverMatches says whether a semantic version (semver.org 2.0.0, with or
// without a v in front) is as a constraint says. A pre-release is only where the
// constraint names one.
func semverMatches(version, constraint string) (bool, error) {
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return false, fmt.Errorf("constraint %q: %w", constraint, err)
	}
	v, err := semver.StrictNewVersion(trimV(version))
	if err != nil {
		return false, fmt.Errorf("version %q: %w", version, err)
	}
	return c.Check(v), nil
}

// purlParts takes a package URL apart (package-url specification, PURL-SPECIFICATION).
func purlParts(text string) (map[string]any, error) {
	p, err := packageurl.FromString(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	qualifiers := map[string]any{}
	for _, q := range p.Qualifiers {
		qualifiers[q.Key] = q.Value
	}
	return map[string]any{
		"type": p.Type, "namespace": p.Namespace, "name": p.Name, "version": p.Version, "qualifiers": qualifiers, "subpath": p.Subpath,
	}, nil
}
