package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

func (e *evaluation) checkRules() {
	if len(e.spec.Rules) == 0 {
		return
	}
	used := map[string]bool{}
	for _, expr := range e.compiled.rules {
		for _, name := range expr.uses {
			used[name] = true
		}
	}
	common, unshown := e.commonVariables(used)
	for _, p := range e.evidence.Image.Platforms {
		variables, err := e.variables(p, common, used)
		err = cmp.Or(unshown, err)
		for i, rule := range e.spec.Rules {
			if err != nil {
				e.unknown(CheckRules, rule.Name, p.Name, "the evidence cannot be shown to an expression: "+err.Error(), operatorRemedy)
				continue
			}
			e.checkRule(rule, e.compiled.rules[i], p, variables)
		}
	}
}

func (e *evaluation) checkRule(rule Rule, expr *expression, p Platform, variables map[string]any) {
	if e.unanswerable(rule, expr, p) {
		return
	}
	yes, err := expr.holds(variables)
	if err == nil && yes {
		return
	}
	f := Finding{
		Check: CheckRules, Rule: rule.Name, Platform: p.Name, Outcome: OutcomeFail, Reason: ReasonDenied,
		Found: "the rule does not hold", Expected: rule.Expression, Remedy: rule.Message,
	}
	if err != nil {
		f.Found = "the rule has no answer for this image: " + err.Error()
	}
	if f.Remedy == "" {
		f.Remedy = "change the image so that the expression holds"
	}
	e.add(f)
}

// unanswerable records when a rule asks for what nobody could find out.
func (e *evaluation) unanswerable(rule Rule, expr *expression, p Platform) bool {
	if problem, ok := e.problem(PartSignatures, ""); ok && expr.needsSigned {
		e.unknown(CheckRules, rule.Name, p.Name, problem.Reason, operatorRemedy)
		return true
	}
	if !expr.needsScan {
		return false
	}
	problem, ok := e.problem(PartScan, p.Name)
	if !ok && expr.needsVuln {
		problem, ok = e.problem(PartVulnerabilities, p.Name)
	}
	switch {
	case ok:
		e.unknown(CheckRules, rule.Name, p.Name, problem.Reason, operatorRemedy)
	case p.Scan == nil:
		e.unknown(CheckRules, rule.Name, p.Name, "the image was not scanned", operatorRemedy)
	case e.foreignCatalogue(p) != "":
		e.unknown(CheckRules, rule.Name, p.Name, e.foreignCatalogue(p), operatorRemedy)
	case slices.Contains(expr.uses, "packages") && p.Scan.emptied() != "":
		e.unknown(CheckRules, rule.Name, p.Name, p.Scan.emptied(), keepPackages)
	case expr.needsVuln:
		reason, remedy := e.unmatched(p, *p.Scan)
		if reason != "" {
			e.unknown(CheckRules, rule.Name, p.Name, reason, remedy)
		}
		return reason != ""
	default:
		return false
	}
	return true
}

// commonVariables are what the expressions of spec.rules see of all platforms,
// as far as they use it: attestations are large.
func (e *evaluation) commonVariables(used map[string]bool) (map[string]any, error) {
	variables := map[string]any{"now": e.now.UTC()}
	return variables, show(variables, used, map[string]func() any{
		"subject": func() any { return e.evidence.Subject }, "push": func() any { return e.evidence.Push },
		"signatures":   func() any { return e.shownSignatures() },
		"attestations": func() any { return e.shownAttestations() },
	})
}

// variables are what they see of one platform, beside what they see of all.
func (e *evaluation) variables(p Platform, common map[string]any, used map[string]bool) (map[string]any, error) {
	scan := p.Scan
	if scan == nil {
		scan = &Scan{}
	}
	p.Scan, p.Lineage, p.Attestations = nil, nil, nil
	variables := maps.Clone(common)
	err := show(variables, used, map[string]func() any{
		"image": func() any { return p }, "catalogue": func() any { return scan.Catalogue.withDefault() },
		"os": func() any { return scan.OS }, "packages": func() any { return scan.Packages },
		"vulnerabilities": func() any { return scan.Vulnerabilities },
	})
	fillAbsent(variables)
	return variables, err
}

// show adds those of the values that are used, as CEL works on them.
func show(variables map[string]any, used map[string]bool, values map[string]func() any) error {
	for name, value := range values {
		if !used[name] {
			continue
		}
		shown, err := celValue(value())
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		variables[name] = shown
	}
	return nil
}

// fillAbsent gives what JSON leaves out or calls null an empty value, so that
// expressions can ask for a label without asking first whether there are any.
func fillAbsent(variables map[string]any) {
	if image, ok := variables["image"].(map[string]any); ok {
		for _, name := range []string{"labels", "annotations"} {
			if image[name] == nil {
				image[name] = map[string]any{}
			}
		}
		if image["history"] == nil {
			image["history"] = []any{}
		}
		if config, ok := image["config"].(map[string]any); ok {
			for _, name := range []string{"entrypoint", "cmd", "env", "exposedPorts", "volumes"} {
				if config[name] == nil {
					config[name] = []any{}
				}
			}
		}
	}
	for _, name := range []string{"signatures", "attestations", "packages", "vulnerabilities"} {
		if variables[name] == nil {
			variables[name] = []any{}
		}
	}
	if variables["os"] == nil {
		variables["os"] = map[string]any{"id": "", "version": ""}
	}
}
