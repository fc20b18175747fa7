package policy

import "fmt"

func (e *evaluation) checkRules() {
	if len(e.spec.Rules) == 0 {
		return
	}
	for _, p := range e.evidence.Image.Platforms {
		variables, err := e.variables(p)
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
	case expr.needsVuln && p.Scan.Database == nil:
		e.unknown(CheckRules, rule.Name, p.Name, "no vulnerability database", operatorRemedy)
	default:
		return false
	}
	return true
}

// variables are what the expressions of spec.rules see of one platform.
func (e *evaluation) variables(p Platform) (map[string]any, error) {
	scan := p.Scan
	if scan == nil {
		scan = &Scan{}
	}
	p.Scan = nil
	typed := map[string]any{
		"subject": e.evidence.Subject, "push": e.evidence.Push, "image": p,
		"signatures": e.shownSignatures(), "attestations": e.shownAttestations(),
		"catalogue": scan.Catalogue.withDefault(), "os": scan.OS, "packages": scan.Packages, "vulnerabilities": scan.Vulnerabilities,
	}
	variables := map[string]any{"now": e.now.UTC()}
	for name, v := range typed {
		value, err := celValue(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		variables[name] = value
	}
	fillAbsent(variables)
	return variables, nil
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
