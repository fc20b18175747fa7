package vulnreport

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// sarifReport is the part that is read of SARIF 2.1.0 (OASIS).
type sarifReport struct {
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver struct {
			Name  string      `json:"name"`
			Rules []sarifRule `json:"rules"`
		} `json:"driver"`
	} `json:"tool"`
	Invocations []struct {
		Successful *bool `json:"executionSuccessful"`
	} `json:"invocations"`
	Results *[]sarifResult `json:"results"` // null when nothing was scanned (section 3.14.23)
}

type sarifRule struct {
	ID   string `json:"id"`
	Help struct {
		Text string `json:"text"`
	} `json:"help"`
	HelpURI    string `json:"helpUri"`
	Properties struct {
		Severity any      `json:"security-severity"` // a CVSS score
		Tags     []string `json:"tags"`
		PURLs    []string `json:"purls"`
	} `json:"properties"`
}

type sarifResult struct {
	RuleID  string `json:"ruleId"`
	Message struct {
		Text string `json:"text"`
	} `json:"message"`
}

// readSARIF reads what Trivy and Grype write as SARIF. The format has no place
// for packages: they are in the messages. What neither says is whether a
// vulnerability is exploited, its EPSS score, and when it or its fix was
// published. Suppressed results count like the rest.
func readSARIF(text json.RawMessage, r *Report) error {
	var s sarifReport
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read the SARIF report: %w", err)
	}
	if s.Version != "2.1.0" || len(s.Runs) == 0 {
		return fmt.Errorf("a SARIF report of version %q with %d runs; version 2.1.0 is read, with one run or more", cut(s.Version), len(s.Runs))
	}
	for _, run := range s.Runs {
		if err := run.read(r); err != nil {
			return err
		}
	}
	return nil
}

func (run sarifRun) read(r *Report) error {
	translate := map[string]func(sarifResult, sarifRule) (Vulnerability, bool, error){"Trivy": trivySARIF, "grype": grypeSARIF}[run.Tool.Driver.Name]
	if translate == nil {
		return fmt.Errorf("a SARIF report of %q, which is not read; write Trivy's or Grype's", cut(run.Tool.Driver.Name))
	}
	if run.Results == nil {
		return errors.New("the SARIF report has no list of results, so that nothing was scanned")
	}
	for _, i := range run.Invocations {
		if i.Successful == nil || !*i.Successful {
			return errors.New("the SARIF report is of a scan that did not succeed")
		}
	}
	rules := map[string]sarifRule{}
	for _, rule := range run.Tool.Driver.Rules {
		rules[rule.ID] = rule
	}
	for i, result := range *run.Results {
		rule, known := rules[result.RuleID]
		if !known {
			return fmt.Errorf("result %d of the SARIF report has a rule that is not there", i)
		}
		v, is, err := translate(result, rule)
		if err != nil {
			return fmt.Errorf("result %d of the SARIF report: %w", i, err)
		}
		if !is {
			continue
		}
		v.URL, v.Unsaid.Exploited = rule.HelpURI, true
		if v.Unsaid.Severity {
			v.setSeverity(fmt.Sprint(rule.Properties.Severity))
		}
		r.Vulnerabilities = append(r.Vulnerabilities, v)
	}
	return nil
}

// trivySARIF is false for what is no vulnerability but a secret, a licence or
// a setting. Trivy tells which by a tag of the rule.
func trivySARIF(result sarifResult, rule sarifRule) (v Vulnerability, is bool, err error) {
	tags := rule.Properties.Tags
	if !slices.Contains(tags, "vulnerability") {
		if slices.ContainsFunc(tags, func(t string) bool { return slices.Contains([]string{"secret", "misconfiguration", "license"}, t) }) {
			return v, false, nil
		}
		return v, false, errors.New("the rule of Trivy does not say what it is about")
	}
	said := fields(result.Message.Text)
	for _, name := range []string{"Package", "Installed Version", "Severity", "Fixed Version"} {
		if _, there := said[name]; !there {
			return v, false, fmt.Errorf("the message of Trivy does not say: %s", name)
		}
	}
	v = Vulnerability{ID: result.RuleID, FixState: "not-fixed"}
	v.setPackage(said["Package"], said["Installed Version"], "")
	v.setSeverity(said["Severity"])
	if v.FixedIn = versions(said["Fixed Version"]); len(v.FixedIn) > 0 {
		v.FixState = "fixed"
	}
	return v, true, nil
}

// fields reads lines of names and values. Of a name that is there twice, the
// first counts.
func fields(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		name, value, found := strings.Cut(line, ":")
		if _, twice := all[name]; found && !twice {
			all[name] = strings.TrimSpace(value)
		}
	}
	return all
}

// grypeSARIF takes the identifier out of the rule's, which the package's name
// follows, and the fix out of the rule's help, which is that of the first
// version of the package.
func grypeSARIF(result sarifResult, rule sarifRule) (v Vulnerability, is bool, err error) {
	message := regexp.MustCompile(`^An? (\w+) vulnerability in \S+ package: (.+), version (.*) was found `)
	said := message.FindStringSubmatch(result.Message.Text)
	if said == nil {
		return v, false, errors.New("the message of Grype is not understood")
	}
	id, is := strings.CutSuffix(result.RuleID, "-"+said[2])
	if !is {
		return v, false, errors.New("the rule of Grype is about another package than its message")
	}
	purl := ""
	if len(rule.Properties.PURLs) > 0 {
		purl = rule.Properties.PURLs[0]
	}
	v = Vulnerability{ID: id, Unsaid: Unsaid{Fix: true}}
	v.setPackage(said[2], said[3], purl)
	v.setSeverity(said[1])
	help := fields(rule.Help.Text)
	if fix, there := help["Fix Version"]; there && help["Version"] == said[3] {
		v.Unsaid.Fix, v.FixState = false, "unknown"
		if v.FixedIn = versions(fix); len(v.FixedIn) > 0 {
			v.FixState = "fixed"
		}
	}
	return v, true, nil
}
