package vex

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// openVEX is an OpenVEX document, version 0.2.0 of the namespace; 0.0.1, in
// which vulnerabilities and products were plain texts, is read too.
type openVEX struct {
	Context    string             `json:"@context"`
	Author     string             `json:"author"`
	Timestamp  string             `json:"timestamp"`
	Statements []openVEXStatement `json:"statements"`
}

type openVEXStatement struct {
	Vulnerability   openVEXVulnerability `json:"vulnerability"`
	Timestamp       string               `json:"timestamp"`
	LastUpdated     string               `json:"last_updated"`
	Products        []openVEXProduct     `json:"products"`
	Subcomponents   []openVEXComponent   `json:"subcomponents"` // version 0.0.1
	Status          Status               `json:"status"`
	Justification   string               `json:"justification"`
	ImpactStatement string               `json:"impact_statement"`
}

type openVEXVulnerability struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases"`
}

// UnmarshalJSON reads an object, or the name alone.
func (v *openVEXVulnerability) UnmarshalJSON(data []byte) error {
	type plain openVEXVulnerability
	return textOr(data, &v.Name, (*plain)(v))
}

type openVEXComponent struct {
	ID          string            `json:"@id"`
	Identifiers map[string]string `json:"identifiers"`
	Hashes      map[string]string `json:"hashes"`
}

// UnmarshalJSON reads an object, or the identifier alone.
func (c *openVEXComponent) UnmarshalJSON(data []byte) error {
	type plain openVEXComponent
	return textOr(data, &c.ID, (*plain)(c))
}

func (c openVEXComponent) names() []string { return nonEmpty(c.ID, c.Identifiers["purl"]) }

type openVEXProduct struct {
	component     openVEXComponent
	subcomponents []openVEXComponent
}

// UnmarshalJSON reads an object, or the identifier alone.
func (p *openVEXProduct) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &p.component); err != nil || data[0] == '"' {
		return err
	}
	var more struct {
		Subcomponents []openVEXComponent `json:"subcomponents"`
	}
	err := json.Unmarshal(data, &more)
	p.subcomponents = more.Subcomponents
	return err
}

// justifications are the labels of not_affected (OpenVEX specification,
// "Status Justifications").
func justifications() []string {
	return []string{
		"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
		"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
	}
}

func parseOpenVEX(text []byte) (Document, error) {
	var o openVEX
	if err := json.Unmarshal(text, &o); err != nil {
		return Document{}, fmt.Errorf("read the OpenVEX document: %w", err)
	}
	if !is(o.Context, PredicateOpenVEX) {
		return Document{}, fmt.Errorf("the document's @context is not %s", PredicateOpenVEX)
	}
	if len(o.Statements) == 0 {
		return Document{}, errors.New("the OpenVEX document states nothing")
	}
	d := Document{Author: o.Author}
	for i, s := range o.Statements {
		stated, err := s.statement(o.Timestamp)
		if err != nil {
			return Document{}, fmt.Errorf("statement %d: %w", i, err)
		}
		d.Statements = append(d.Statements, stated)
	}
	return d, nil
}

func (s openVEXStatement) statement(documents string) (Statement, error) {
	at, err := firstMoment(s.Timestamp, documents)
	if err != nil {
		return Statement{}, err
	}
	// An update is made after what it updates.
	updated, err := moment(s.LastUpdated)
	if err != nil {
		return Statement{}, err
	}
	if !at.IsZero() && updated.After(at) {
		at = updated
	}
	stated := Statement{
		Vulnerabilities: nonEmpty(append([]string{s.Vulnerability.Name}, s.Vulnerability.Aliases...)...),
		Inherits:        len(s.Products) == 0, Status: s.Status, Timestamp: at,
	}
	if s.Justification != "" && !slices.Contains(justifications(), s.Justification) {
		return Statement{}, fmt.Errorf("the justification %q is none of VEX", s.Justification[:min(len(s.Justification), 100)])
	}
	for _, why := range nonEmpty(s.Justification, s.ImpactStatement) {
		stated.Why = why
		break
	}
	for _, p := range s.Products {
		product := Product{Identifiers: p.component.names(), Hashes: p.component.Hashes}
		for _, c := range append(slices.Clone(p.subcomponents), s.Subcomponents...) {
			product.Packages = append(product.Packages, c.names())
		}
		stated.Products = append(stated.Products, product)
	}
	if stated.Inherits && len(s.Subcomponents) > 0 {
		return Statement{}, errors.New("subcomponents of no product")
	}
	return stated, nil
}
