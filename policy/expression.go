package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/ext"
)

// costLimit bounds what one evaluation of an expression may cost, in CEL's
// units (about one for each step). A rule that needs more is refused.
const costLimit = 1_000_000

// scanVariables are the variables that come from a scan; an expression that
// uses one of them can only be evaluated when there was one.
func scanVariables() []string { return []string{"catalogue", "os", "packages", "vulnerabilities"} }

// expression is a compiled CEL expression that yields true or false.
type expression struct {
	program     cel.Program
	uses        []string // variables
	patterns    []string // regular expressions that are written out
	needsScan   bool
	needsVuln   bool
	needsSigned bool // signatures or attestations
}

// compileExpression compiles an expression over the named variables.
func compileExpression(text string, variables ...string) (*expression, error) {
	env, err := newEnvironment(variables)
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	checked, issues := env.Compile(text)
	if errs := issues.Errors(); len(errs) > 0 {
		line := ""
		if strings.Contains(strings.TrimSpace(text), "\n") {
			line = fmt.Sprintf(" of line %d", errs[0].Location.Line())
		}
		return nil, fmt.Errorf("%s (at character %d%s of the expression)", errs[0].Message, errs[0].Location.Column()+1, line)
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression yields %s; it has to yield true or false", t)
	}
	program, err := env.Program(checked, cel.CostLimit(costLimit), cel.CostTracking(callCosts{}), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, err
	}
	used := identifiers(checked)
	e := &expression{
		program: program, uses: used, patterns: literalPatterns(checked), needsVuln: slices.Contains(used, "vulnerabilities"),
		needsSigned: slices.Contains(used, "signatures") || slices.Contains(used, "attestations"),
	}
	for _, v := range scanVariables() {
		e.needsScan = e.needsScan || slices.Contains(used, v)
	}
	return e, nil
}

// newEnvironment is what expressions over the named variables are checked and
// run in.
func newEnvironment(variables []string) (*cel.Env, error) {
	evidence, err := newEvidenceTypes()
	if err != nil {
		return nil, err
	}
	options := []cel.EnvOption{cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Lists(), ext.Math()}
	options = append(options, celFunctions()...)
	for _, v := range variables {
		options = append(options, evidence.variable(v))
	}
	return cel.NewEnv(append(options, cel.CustomTypeProvider(evidence), cel.CustomTypeAdapter(inOrder{}))...)
}

// identifiers lists the variables that an expression uses.
func identifiers(checked *cel.Ast) []string {
	var names []string
	root := celast.NavigateAST(checked.NativeRep())
	for _, e := range celast.MatchDescendants(root, celast.KindMatcher(celast.IdentKind)) {
		names = append(names, e.AsIdent())
	}
	return names
}

// holds evaluates the expression. An error means that it has no answer for
// these values: a field that is not there, a type that does not fit, the cost
// limit.
func (e *expression) holds(variables map[string]any) (bool, error) {
	out, _, err := e.program.Eval(variables)
	if err != nil {
		return false, err
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the expression yields %s, not true or false", out.Type().TypeName())
	}
	return yes, nil
}
