package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/image"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/lineage"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/worker"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/confined"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/revocation"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/trust"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web"
)

// Worker runs the confined scanner or verifier when the arguments of the
// process ask for it.
func Worker(args []string) (status int, asked bool) {
	if status, asked := confined.Main(args, os.Stdin, os.Stdout); asked {
		return status, true
	}
	return worker.Main(args, os.Stdin, os.Stdout)
}

// userAgent is how registries see the gatekeeper; the prefix gatekeeper/ is
// how notifications about its own copies are told from others.
func userAgent() string {
	return ownUserAgent + strings.Trim(Version(), "()")
}

const ownUserAgent = "gatekeeper/"

// setup is a configuration with everything that can be checked without
// starting anything.
type setup struct {
	config   *config.Config
	policies *policyset.Set
	// wrap adds to the requests for the registry of a name; may be nil.
	wrap map[string]func(http.RoundTripper) http.RoundTripper
}

// load reads a configuration file and the policies it names.
func load(ctx context.Context, file string) (*setup, error) {
	c, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	return withPolicies(ctx, c)
}

func withPolicies(ctx context.Context, c *config.Config) (*setup, error) {
	s := &setup{config: c}
	var err error
	s.policies, err = policyset.Open(ctx, policyset.Source{Location: c.Policies, KMS: keys.PublicKeyPEM, Check: s.checkPolicies})
	if err := errors.Join(err, s.trustRoots(slog.New(slog.DiscardHandler)).Check()); err != nil {
		return nil, err
	}
	return s, nil
}

// dir is the folder of everything but a journal on PostgreSQL.
func (s *setup) dir() string { return s.config.Storage.Dir }

// registries prepares the clients of the configured registries, which work with
// what is given beside the name and the clock of the product.
func (s *setup) registries(deps registry.Deps) (*registry.Registries, error) {
	var all []registry.Settings
	for _, r := range s.config.Registries {
		one, err := registrySettings(r)
		if err != nil {
			return nil, err
		}
		one.Wrap = s.wrap[r.Name]
		all = append(all, one)
	}
	deps.UserAgent, deps.Now = userAgent(), time.Now
	return registry.New(all, deps)
}

// scanner prepares the scanner; images are unpacked below dir.
func (s *setup) scanner(source scan.Source, dir string, log *slog.Logger) (*scan.Scanner, error) {
	sizes, err := s.config.Scanner.Bytes()
	if err != nil {
		return nil, err
	}
	return scan.New(source, scan.Options{
		Database: s.config.Scanner.Database.Dir, Dir: dir, MaxSize: int64(min(sizes.MaxSize, math.MaxInt64)), Disk: int64(min(sizes.Disk, math.MaxInt64)),
		Timeout: time.Duration(s.config.Scanner.Timeout), Concurrent: int64(s.config.Scanner.Concurrent),
		Limits: scan.Limits{Memory: sizes.Memory}, Log: log, Now: time.Now,
	})
}

// records is what a gate keeps its books in.
type records interface {
	gatekeeper.Ledger
	gatekeeper.History
	gatekeeper.Waker
	gatekeeper.Turns
}

// parts are what a gate is assembled from.
type parts struct {
	registries *registry.Registries
	scanner    gatekeeper.Scanner
	verifier   signature.Verifier
	trustRoots *trust.Store
	books      records
	golden     lineage.Records // nil: what is golden is not known
	observer   gatekeeper.Observer
	reached    func(step string) // nil, but in tests that end the process
	log        *slog.Logger
}

// promoter keeps its turns with the books.
func (p parts) promoter() *promote.Promoter {
	promoter := promote.New(watchWrites(p.registries, p.reached), time.Now)
	promoter.Turns = p.books
	return promoter
}

// gate assembles the gate.
func (s *setup) gate(p parts) (*gatekeeper.Gate, error) {
	maxEvidence, err := s.config.Evidence.Bytes()
	if err != nil {
		return nil, err
	}
	signatures := signature.New(signature.Deps{
		Source: p.registries, Verifier: p.verifier, TrustRoots: p.trustRoots, Now: time.Now,
		Revocation: revocation.New(revocation.Options{Now: time.Now}),
		Limits:     signature.Limits{Entries: s.config.Evidence.MaxEntries, Attestation: maxEvidence},
	})
	deps := gatekeeper.Deps{
		Policies: s.policies.InForce, TrustRoots: p.trustRoots,
		Ledger: p.books, History: p.books, Waker: p.books, Turns: p.books,
		Resolver: p.registries, Subjects: p.registries,
		Images:     image.New(p.registries),
		Signatures: signatures,
		Scanner:    p.scanner,
		Promoter:   p.promoter(),
		Observer:   p.observer,
		Now:        time.Now,
		Log:        p.log,
	}
	if p.golden != nil {
		deps.Bases = lineage.New(p.golden)
	}
	return gatekeeper.New(deps), nil
}

// checker answers what would be decided about an image.
type checker struct {
	registries *registry.Registries
	gate       *gatekeeper.Gate
}

// Check implements web.Checker.
func (c checker) Check(ctx context.Context, reference string) (gatekeeper.Decision, error) {
	image, err := c.registries.Locate(reference)
	if err != nil {
		return gatekeeper.Decision{}, fmt.Errorf("%w: %w", web.ErrImage, err)
	}
	if image.Tag == "" {
		return gatekeeper.Decision{}, fmt.Errorf("%w: %s has no tag, which policies match and golden tags are made from; write REPOSITORY:TAG or REPOSITORY:TAG@%s",
			web.ErrImage, reference, image.Digest)
	}
	return c.gate.Check(ctx, image.Registry, image.Repository, image.Tag, image.Digest)
}
