package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/confined"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/report"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web/client"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// CheckOptions are the flags of check.
type CheckOptions struct {
	Config string // file; empty: a service without a configuration
	Data   string // folder; only without Config
	Image  string
	Output string
}

// Check judges an image without any effect.
func Check(ctx context.Context, o CheckOptions, streams Streams) error {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	s, err := loadOrDefault(ctx, o.Config, o.Data)
	if err != nil {
		return status(StatusUsage, err)
	}
	d, err := judgeOnce(ctx, s, o.Image, slog.New(slog.NewTextHandler(streams.Err, &slog.HandlerOptions{Level: slog.LevelError})))
	switch {
	case errors.Is(err, web.ErrImage):
		return status(StatusUsage, err)
	case err != nil:
		return status(StatusUndecided, fmt.Errorf("could not decide: %w", err))
	}
	if err := printCheck(o.Output, d, streams.Out); err != nil {
		return err
	}
	return status(verdictStatus(d.Verdict), nil)
}

func printCheck(output string, d gatekeeper.Decision, w io.Writer) error {
	if output == outputJSON {
		return printJSON(w, d)
	}
	return report.Hypothetical(w, d)
}

func judgeOnce(ctx context.Context, s *setup, image string, log *slog.Logger) (_ gatekeeper.Decision, err error) {
	registries, err := s.registries(registry.Deps{Observer: unobserved{}, Log: log})
	if err != nil {
		return gatekeeper.Decision{}, err
	}
	scanner, err := s.scanner(registries, "", log)
	if err != nil {
		return gatekeeper.Decision{}, err
	}
	verifier := confined.NewPool(confined.Options{Now: time.Now, Log: log})
	defer func() { err = errors.Join(err, verifier.Close()) }()
	// Judging without recording needs no books.
	gate, err := s.gate(parts{registries: registries, scanner: scanner, verifier: verifier, trustRoots: s.trustRoots(log), golden: onceRead{s.config.Storage}, observer: unobserved{}, log: log})
	if err != nil {
		return gatekeeper.Decision{}, err
	}
	return checker{registries, gate}.Check(ctx, image)
}

// unobserved is an observer that nobody asks.
type unobserved struct{}

// RegistryRequest implements registry.Observer.
func (unobserved) RegistryRequest(string, int) {}

// BlobBytes implements registry.Observer.
func (unobserved) BlobBytes(string, string, int64) {}

// Stage implements gatekeeper.Observer.
func (unobserved) Stage(string, time.Duration) {}

// Decided implements gatekeeper.Observer.
func (unobserved) Decided(context.Context, gatekeeper.Decision) {}

// loadOrDefault reads a configuration, or stands in for that of a service
// without one, which has to have run before.
func loadOrDefault(ctx context.Context, file, data string) (*setup, error) {
	if file != "" {
		return load(ctx, file)
	}
	there, err := exists(filepath.Join(data, policiesDir))
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("%s holds no data of gatekeeper serve: give --config FILE, or --data FOLDER of a service that runs without a configuration", data)
	}
	c, err := oneMachineConfig(data, stagingAddress, goldenAddress, adminAddress)
	if err != nil {
		return nil, err
	}
	return withPolicies(ctx, c)
}

// Server is the service that a command asks.
type Server struct {
	URL       string
	TokenFile string
}

func (s Server) client() (*client.Client, error) {
	var token string
	if s.TokenFile != "" {
		text, err := os.ReadFile(filepath.Clean(s.TokenFile))
		if err != nil {
			return nil, status(StatusUsage, fmt.Errorf("read the token: %w", err))
		}
		token = strings.TrimSpace(string(text))
	}
	c, err := client.New(s.URL, token)
	if err != nil {
		return nil, status(StatusUsage, err)
	}
	return c, nil
}

// answered gives errors of the service their exit status.
func answered(err error) error {
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
		return status(StatusUsage, err)
	}
	return status(StatusUndecided, err)
}

// ExplainOptions are the flags of explain.
type ExplainOptions struct {
	Server Server
	Image  string
	Output string
}

// Explain says what a service decided about an image.
func Explain(ctx context.Context, o ExplainOptions, streams Streams) error {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	c, err := o.Server.client()
	if err != nil {
		return err
	}
	s, err := c.Image(ctx, o.Image)
	if err != nil {
		return answered(err)
	}
	if o.Output == outputJSON {
		return printJSON(streams.Out, s)
	}
	return report.Status(streams.Out, s)
}

// ListOptions are the flags of decisions list.
type ListOptions struct {
	Server                           Server
	Verdict, Repository, Tag, Policy string
	Limit                            int
	Output                           string
}

// ListDecisions lists decisions of a service, newest first.
func ListDecisions(ctx context.Context, o ListOptions, streams Streams) error {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	if o.Verdict != "" && !slices.Contains(policy.Verdicts(), policy.Verdict(o.Verdict)) {
		return status(StatusUsage, fmt.Errorf("unknown verdict %q: use promoted, rejected, pending, superseded or error", o.Verdict))
	}
	c, err := o.Server.client()
	if err != nil {
		return err
	}
	list, err := c.Decisions(ctx, gatekeeper.DecisionQuery{
		Verdict: policy.Verdict(o.Verdict), Repository: o.Repository, Tag: o.Tag, Policy: o.Policy, Limit: o.Limit,
	})
	if err != nil {
		return answered(err)
	}
	if o.Output == outputJSON {
		return printJSON(streams.Out, map[string]any{"decisions": list})
	}
	return printList(streams.Out, list)
}

func printList(out io.Writer, list []gatekeeper.Decision) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	lines := []string{"ID\tDECIDED\tIMAGE\tVERDICT\tREASON"}
	for _, d := range list {
		lines = append(lines, fmt.Sprintf("%d\t%s\t%s\t%s\t%s", d.ID, d.DecidedAt.UTC().Format(time.DateTime),
			report.Safe(d.Push.Repository+":"+d.Push.Tag), d.Verdict, report.Reason(d)))
	}
	if _, err := fmt.Fprintln(w, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return w.Flush()
}

// ShowOptions are the flags of decisions show.
type ShowOptions struct {
	Server Server
	ID     string
	Output string
}

// ShowDecision shows one decision of a service.
func ShowDecision(ctx context.Context, o ShowOptions, streams Streams) error {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	c, err := o.Server.client()
	if err != nil {
		return err
	}
	d, err := c.Decision(ctx, o.ID)
	if err != nil {
		return answered(err)
	}
	if o.Output == outputJSON {
		return printJSON(streams.Out, d)
	}
	return report.Text(streams.Out, d)
}
