package vex

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// cycloneDX is the part of a CycloneDX document that states what affects it
// (CycloneDX 1.4 to 1.6, vulnerabilities).
type cycloneDX struct {
	Format      string `json:"bomFormat"`
	SpecVersion string `json:"specVersion"`
	Metadata    struct {
		Timestamp string              `json:"timestamp"`
		Component *cycloneDXComponent `json:"component"`
		Authors   []cycloneDXAuthor   `json:"authors"`
	} `json:"metadata"`
	Components      []cycloneDXComponent     `json:"components"`
	Vulnerabilities []cycloneDXVulnerability `json:"vulnerabilities"`
}

type cycloneDXAuthor struct {
	Name string `json:"name"`
}

type cycloneDXComponent struct {
	Ref    string `json:"bom-ref"`
	PURL   string `json:"purl"`
	Hashes []struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	} `json:"hashes"`
	Components []cycloneDXComponent `json:"components"`
}

type cycloneDXVulnerability struct {
	ID         string `json:"id"`
	Updated    string `json:"updated"`
	References []struct {
		ID string `json:"id"`
	} `json:"references"`
	Analysis *cycloneDXAnalysis  `json:"analysis"`
	Affects  []cycloneDXAffected `json:"affects"`
}

type cycloneDXAnalysis struct {
	State         string `json:"state"`
	Justification string `json:"justification"`
	Detail        string `json:"detail"`
	FirstIssued   string `json:"firstIssued"`
	LastUpdated   string `json:"lastUpdated"`
}

type cycloneDXAffected struct {
	Ref      string            `json:"ref"`
	Versions []json.RawMessage `json:"versions"`
}

// states maps CycloneDX's impact analysis states to VEX's statuses.
func states() map[string]Status {
	return map[string]Status{
		"not_affected": NotAffected, "false_positive": NotAffected, "resolved": Fixed, "resolved_with_pedigree": Fixed,
		"exploitable": Affected, "in_triage": UnderInvestigation,
	}
}

// parseCycloneDX reads the analyses. A document without any, such as an SBOM,
// states nothing.
func parseCycloneDX(text []byte) (Document, error) {
	var c cycloneDX
	if err := json.Unmarshal(text, &c); err != nil {
		return Document{}, fmt.Errorf("read the CycloneDX document: %w", err)
	}
	if c.Format != "CycloneDX" || !slices.Contains([]string{"1.4", "1.5", "1.6"}, c.SpecVersion) {
		return Document{}, fmt.Errorf("the document is no CycloneDX JSON 1.4 to 1.6")
	}
	var d Document
	for _, a := range c.Metadata.Authors {
		d.Author = a.Name
		break
	}
	components := map[string][]cycloneDXComponent{}
	list(c.Components, components)
	for i, v := range c.Vulnerabilities {
		if v.Analysis == nil || v.Analysis.State == "" {
			continue // found, and not analysed
		}
		s, err := c.statement(v, components)
		if err != nil {
			return Document{}, fmt.Errorf("vulnerability %d: %w", i, err)
		}
		d.Statements = append(d.Statements, s)
	}
	return d, nil
}

// list finds components by their references.
func list(components []cycloneDXComponent, into map[string][]cycloneDXComponent) {
	for _, c := range components {
		if c.Ref != "" {
			into[c.Ref] = append(into[c.Ref], c)
		}
		list(c.Components, into)
	}
}

func (c cycloneDX) statement(v cycloneDXVulnerability, components map[string][]cycloneDXComponent) (Statement, error) {
	at, err := firstMoment(v.Analysis.LastUpdated, v.Analysis.FirstIssued, v.Updated, c.Metadata.Timestamp)
	if err != nil {
		return Statement{}, err
	}
	names := []string{v.ID}
	for _, r := range v.References {
		names = append(names, r.ID)
	}
	s := Statement{Vulnerabilities: nonEmpty(names...), Status: states()[v.Analysis.State], Timestamp: at}
	if s.Status == "" {
		return Statement{}, fmt.Errorf("the state %q is none of CycloneDX", v.Analysis.State[:min(len(v.Analysis.State), 100)])
	}
	for _, why := range nonEmpty(v.Analysis.Justification, v.Analysis.Detail) {
		s.Why = why
		break
	}
	for _, a := range v.Affects {
		if p, ok := c.product(a, components, s.Excuses()); ok {
			s.Products = append(s.Products, p)
		}
	}
	return s, nil
}

// product is what a reference is about: the document's own component, one of
// those inside it, or a package URL. It is false for what is not understood:
// other documents' components and, of what excuses, ranges of versions, which
// else are taken for all versions.
func (c cycloneDX) product(a cycloneDXAffected, components map[string][]cycloneDXComponent, excuses bool) (Product, bool) {
	own := c.Metadata.Component
	inside := components[a.Ref]
	switch {
	case len(a.Versions) > 0 && excuses:
		return Product{}, false
	case own != nil && own.Ref == a.Ref && a.Ref != "" && len(inside) == 0:
		return own.product(), true
	case own != nil && len(inside) == 1 && own.Ref != a.Ref:
		p := own.product()
		p.Packages = [][]string{nonEmpty(inside[0].PURL)}
		return p, true
	case len(inside) == 0 && strings.HasPrefix(a.Ref, "pkg:"):
		return Product{Identifiers: []string{a.Ref}}, true
	}
	return Product{}, false
}

func (c cycloneDXComponent) product() Product {
	p := Product{Identifiers: nonEmpty(c.PURL), Hashes: map[string]string{}}
	for _, h := range c.Hashes {
		p.Hashes[strings.ToLower(h.Algorithm)] = h.Content
	}
	return p
}
