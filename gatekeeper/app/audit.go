package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/audit"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/report"
)

// AuditOptions are the flags of audit.
type AuditOptions struct {
	Config       string // file; empty: a service without a configuration
	Data         string // folder; only without Config
	Repositories []string
	AllowMissing bool // tags that were approved and are gone do not count
	Output       string
}

// Audit compares golden repositories with the summaries beside their images.
func Audit(ctx context.Context, o AuditOptions, streams Streams) error {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	s, err := loadForAudit(ctx, o.Config, o.Data)
	if err != nil {
		return status(StatusUsage, err)
	}
	registries, err := s.registries(registry.Deps{Observer: unobserved{}})
	if err != nil {
		return status(StatusUsage, err)
	}
	repositories, err := locateRepositories(registries, o.Repositories)
	if err != nil {
		return status(StatusUsage, err)
	}
	trust, err := s.trust(ctx)
	switch {
	case err != nil && s.config.Signing != nil && keys.IsKMS(s.config.Signing.Key):
		return status(StatusUndecided, err)
	case err != nil:
		return status(StatusUsage, err)
	}
	a := &audit.Auditor{Registries: registries, Trust: trust, Verifier: s.verifierID()}
	reports := []audit.Report{} // one for each repository, in JSON too
	var unread []error
	for _, repo := range repositories {
		r, err := a.Audit(ctx, repo)
		if err != nil {
			unread = append(unread, err)
		}
		reports = append(reports, r)
	}
	if err := printAudit(o.Output, reports, streams.Out); err != nil {
		return err
	}
	return auditStatus(reports, errors.Join(unread...), o.AllowMissing)
}

// loadForAudit reads what an audit needs: registries, and whose summaries to
// accept. Policies are not read, as it takes no decision.
func loadForAudit(ctx context.Context, file, data string) (*setup, error) {
	if file == "" {
		return loadOrDefault(ctx, file, data)
	}
	c, err := config.LoadForAudit(file)
	if err != nil {
		return nil, err
	}
	return &setup{config: c}, nil
}

// locateRepositories finds the registries of repositories named HOST/REPOSITORY.
func locateRepositories(registries *registry.Registries, names []string) ([]registry.Repository, error) {
	var all []registry.Repository
	for _, name := range names {
		if last := name[strings.LastIndex(name, "/")+1:]; strings.ContainsAny(last, ":@") {
			return nil, fmt.Errorf("%q names one image; an audit is about a repository: write HOST/REPOSITORY", name)
		}
		image, err := registries.Locate(name)
		if err != nil {
			return nil, err
		}
		all = append(all, registry.Repository{Registry: image.Registry, Name: image.Repository})
	}
	return all, nil
}

// auditStatus is 1 as soon as one tag is surely wrong, whatever could not be
// read besides.
func auditStatus(reports []audit.Report, unread error, allowMissing bool) error {
	code := StatusOK
	if unread != nil {
		code = StatusUndecided
	}
	for _, r := range reports {
		for _, f := range r.Findings {
			switch {
			case f.Status == audit.Bypassed, f.Status == audit.Missing && !allowMissing:
				return status(StatusRejected, unread)
			case f.Status == audit.Undecided:
				code = StatusUndecided
			}
		}
	}
	return status(code, unread)
}

func printAudit(output string, reports []audit.Report, out io.Writer) error {
	if output == outputJSON {
		return printJSON(out, map[string]any{"repositories": reports})
	}
	for _, r := range reports {
		if r.Error != "" {
			continue // people read it among the errors
		}
		if err := printRepository(r, out); err != nil {
			return err
		}
	}
	return nil
}

func printRepository(r audit.Report, out io.Writer) error {
	counts := map[audit.Status]int{}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	lines := []string{r.Repository}
	for _, f := range r.Findings {
		counts[f.Status]++
		detail := f.Detail
		if f.Status == audit.OK {
			detail = fmt.Sprintf("approved %s by %s", f.Approved.UTC().Format(time.DateTime), f.Policy)
		}
		lines = append(lines, fmt.Sprintf("  %s\t%s\t%s", report.Safe(f.Tag), f.Status, report.Safe(strings.ReplaceAll(detail, "\n", "; "))))
	}
	lines = append(lines, fmt.Sprintf("  %d ok, %d bypassed the gate, %d missing, %d undecided",
		counts[audit.OK], counts[audit.Bypassed], counts[audit.Missing], counts[audit.Undecided]))
	if _, err := fmt.Fprintln(w, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return w.Flush()
}
