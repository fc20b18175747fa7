package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/confine"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/database"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/signature/confined"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/keys"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/reconcile"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/registry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/telemetry"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web"
	"github.com/golden-gatekeeper/gatekeeper/notifications"
	"github.com/golden-gatekeeper/gatekeeper/notifications/distribution"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The limits of the listeners.
const (
	maxConnections  = 512 // of each listener
	headerTimeout   = 10 * time.Second
	readTimeout     = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	maxHeader       = 32 << 10 // bytes
	shutdownTimeout = 5 * time.Second
)

// service is the running gatekeeper.
type service struct {
	setup    *setup
	log      *slog.Logger
	journal  *journal.Journal
	verifier *confined.Pool
	watcher  *policyset.Watcher
	gate     *gatekeeper.Gate
	walkers  map[string]*reconcile.Reconciler // by source
	replicas func(alive int)                  // told how many processes share the journal
	late     *lateAttester                    // signs with a key of a service; nil when there is none
	webhooks net.Listener
	admin    net.Listener // the same as webhooks when the addresses are the same
	servers  map[net.Listener]http.Handler
	stopping atomic.Bool
	// unconfined is what scans are not confined with here, in words.
	unconfined []string
}

// listen opens the listeners of a configuration. One address for both means
// one listener.
func listen(ctx context.Context, l config.Listen) (webhooks, admin net.Listener, err error) {
	var lc net.ListenConfig
	if webhooks, err = lc.Listen(ctx, "tcp", l.Webhooks); err != nil {
		return nil, nil, fmt.Errorf("listen.webhooks: %w", err)
	}
	if _, port, err := net.SplitHostPort(l.Webhooks); err == nil && port != "0" && l.Admin == l.Webhooks {
		return webhooks, webhooks, nil
	}
	if admin, err = lc.Listen(ctx, "tcp", l.Admin); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen.admin: %w", err), webhooks.Close())
	}
	return webhooks, admin, nil
}

// newService assembles the service. It takes the listeners over.
func newService(ctx context.Context, s *setup, webhooks, admin net.Listener, log *slog.Logger) (_ *service, err error) {
	svc := &service{setup: s, log: log, webhooks: webhooks, admin: admin, servers: map[net.Listener]http.Handler{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, svc.close())
		}
	}()
	reached := failpoint()
	if svc.journal, err = journal.Open(ctx, s.config.Storage.URL, svc.journalDeps(reached)); err != nil {
		return nil, err
	}
	registerer := prometheus.NewRegistry()
	metrics, err := svc.metrics(registerer)
	if err != nil {
		return nil, err
	}
	registries, err := s.registries(registry.Deps{Observer: metrics, Health: metrics, Log: log})
	if err != nil {
		return nil, err
	}
	scans, err := emptyDir(filepath.Join(s.dir(), "scans"))
	if err != nil {
		return nil, err
	}
	scanner, err := s.scanner(registries, scans, log)
	if err != nil {
		return nil, err
	}
	roots := s.trustRoots(log)
	svc.watcher = policyset.NewWatcher(policyset.Deps{
		Set: s.policies, TrustRoots: roots, Rejudger: svc.journal, Observer: metrics, Now: time.Now, Log: log,
	})
	svc.replicas = func(alive int) {
		registries.Share(alive) // limits are those of all together
		svc.watcher.Replicas(alive)
	}
	svc.unconfined = scanner.Unconfined()
	svc.verifier = confined.NewPool(confined.Options{Workers: verifiers(), Now: time.Now, Log: log})
	all := parts{
		registries: registries, scanner: scanner, verifier: svc.verifier, trustRoots: roots, books: svc.journal, golden: svc.journal,
		observer: metrics, reached: reached, log: log,
	}
	if svc.gate, err = s.gate(all); err != nil {
		return nil, err
	}
	svc.walkers = s.walkers(walkDeps{
		registries: registries, journal: svc.journal, golden: svc.journal, policies: s.policies.Compiled, observer: metrics, log: log,
	})
	if err := svc.attest(ctx, all.promoter()); err != nil {
		return nil, err
	}
	return svc, svc.handlers(registerer, metrics, checker{registries, svc.gate})
}

// journalDeps sets up the journal as the configuration says.
func (svc *service) journalDeps(reached func(step string)) journal.Deps {
	c := svc.setup.config
	deps := journal.Deps{
		Now: time.Now, Log: svc.log, Workers: c.Workers, Keep: time.Duration(c.Storage.Keep), Reached: reached,
		Tasks: svc.setup.reconcileTasks(svc.walk), Replicas: func(alive int) { svc.replicas(alive) },
	}
	if c.Storage.PasswordFile != "" || c.Storage.PasswordEnv != "" {
		deps.Password = c.Storage.Password
	}
	return deps
}

// verifiers is how many processes verify signatures at a time: one for each
// processor, and two so that one item that hangs does not hold up the others.
func verifiers() int { return max(2, runtime.GOMAXPROCS(0)) }

// attest has the gate sign what it promotes, or warns that it does not. A key
// of a service is asked for later: while that is down, pushes are still heard.
func (svc *service) attest(ctx context.Context, promoter *promote.Promoter) error {
	if c := svc.setup.config; c.Signs() && keys.IsKMS(c.Signing.Key) {
		svc.late = &lateAttester{key: c.Signing.Key, now: time.Now, turn: make(chan struct{}, 1), load: func(ctx context.Context) (gatekeeper.Attester, error) {
			signing, _, err := svc.setup.signing(ctx)
			if err != nil {
				return nil, err
			}
			return promote.NewAttester(promoter, signing), nil
		}}
		svc.gate.Promoter, svc.gate.Attester = promoter, svc.late
		return nil
	}
	signing, signs, err := svc.setup.signing(ctx)
	if err != nil {
		return err
	}
	if !signs {
		svc.log.WarnContext(ctx, unsigned)
		return nil
	}
	svc.gate.Promoter, svc.gate.Attester = promoter, promote.NewAttester(promoter, signing)
	return nil
}

// emptyDir makes a folder and removes what a crash left in it. The folder
// itself may be a mount, and stays.
func emptyDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("empty %s: %w", dir, err)
	}
	for _, e := range entries {
		if err := confine.Remove(filepath.Join(dir, e.Name())); err != nil {
			return "", fmt.Errorf("empty %s: %w", dir, err)
		}
	}
	return dir, nil
}

func (svc *service) metrics(registerer *prometheus.Registry) (*telemetry.Metrics, error) {
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	var outcomes, names []string
	for _, o := range notifications.Outcomes() {
		outcomes = append(outcomes, string(o))
	}
	for _, r := range svc.setup.config.Registries {
		names = append(names, r.Name)
	}
	dir := svc.setup.config.Scanner.Database.Dir
	return telemetry.New(telemetry.Deps{
		Registerer: registerer, Sources: svc.setup.config.SourceNames(), Reconciled: svc.setup.reconciled(),
		Outcomes: outcomes, Registries: names,
		Policies: svc.setup.policies.Compiled, State: svc.journal,
		Database: func() (time.Time, bool) {
			s, err := database.Describe(dir)
			return s.Built, err == nil
		},
		Now: time.Now, Log: svc.log,
	})
}

// handlers decides what is served on which listener.
func (svc *service) handlers(gatherer prometheus.Gatherer, metrics *telemetry.Metrics, checker web.Checker) error {
	sources, err := sources(svc.setup.config)
	if err != nil {
		return err
	}
	intake := notifications.NewHandler(notifications.Deps{
		Sources: sources, Sink: svc.journal, Log: svc.log,
		Count: func(source string, o notifications.Outcome, n int) { metrics.Notification(source, string(o), n) },
	})
	token, err := svc.setup.config.Admin.Token()
	if err != nil {
		return fmt.Errorf("admin.%w", err)
	}
	admin := web.New(web.Deps{
		Decisions: svc.journal, Golden: svc.journal, Checker: checker, Policies: svc.policyList,
		Exceptions: exceptions{svc.setup.policies.Compiled, svc.journal},
		Metrics: promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(svc.log.Handler(), slog.LevelWarn),
		}),
		Ready: svc.readiness(), Token: token, PrivateMetrics: svc.setup.config.Admin.PrivateMetrics, Now: time.Now, Log: svc.log,
	})
	svc.servers[svc.webhooks] = intake
	if svc.admin != svc.webhooks {
		svc.servers[svc.admin] = admin
		return nil
	}
	both := http.NewServeMux()
	both.Handle("/webhooks/", intake)
	both.Handle("/", admin)
	svc.servers[svc.admin] = both
	return nil
}

func sources(c *config.Config) ([]notifications.Source, error) {
	var all []notifications.Source
	for _, r := range c.Registries {
		if r.Notifications == nil {
			continue
		}
		secret, err := r.Notifications.Secret()
		if err != nil {
			return nil, fmt.Errorf("registry %s: notifications.%w", r.Name, err)
		}
		all = append(all, notifications.Source{
			Name: r.Name, Secret: secret, Decoder: distribution.Decoder{OwnUserAgent: ownUserAgent}, ContentTypes: distribution.ContentTypes(),
		})
	}
	return all, nil
}

func (svc *service) policyList() []web.Policy {
	var list []web.Policy
	for _, p := range svc.setup.policies.Policies() {
		spec := p.Spec()
		waived, versions := p.Lists()
		list = append(list, web.Policy{
			Name: p.Name(), Description: p.Description(), Mode: string(p.Mode()), Fingerprint: p.Fingerprint(), From: spec.From,
			Repositories: append([]string{}, spec.Match.Repositories...), Tags: spec.Match.Tags, RepositoriesRegExp: spec.Match.RepositoriesRegExp,
			TagsRegExp: spec.Match.TagsRegExp, Versions: spec.Match.Versions, PromoteTo: spec.Promote.To, File: p.File,
			ExceptionLists: waived, VersionLists: versions,
		})
	}
	return list
}

// readiness lists what /readyz looks at.
func (svc *service) readiness() []web.ReadyCheck {
	checks := []web.ReadyCheck{
		{Name: "running", Run: func(context.Context) error {
			if svc.stopping.Load() {
				return errors.New("the service is stopping")
			}
			return nil
		}},
		{Name: "journal", Run: svc.journal.Ready},
		{Name: "policies", Informational: true, Run: svc.watcher.Ready},
	}
	if svc.late != nil {
		checks = append(checks, web.ReadyCheck{Name: "signing", Informational: true, Run: svc.late.ready})
	}
	checks = append(checks, web.ReadyCheck{Name: "confinement of scans", Informational: true, Run: func(context.Context) error {
		if len(svc.unconfined) > 0 {
			return errors.New("not in force: " + strings.Join(svc.unconfined, "; "))
		}
		return nil
	}})
	return append(checks, web.ReadyCheck{Name: "vulnerability database", Informational: true, Run: svc.databaseFresh})
}

// databaseFresh says whether scans count, when a policy asks for any.
func (svc *service) databaseFresh(context.Context) error {
	if !slices.ContainsFunc(svc.setup.policies.Compiled(), (*policy.Compiled).NeedsScan) {
		return nil
	}
	s, err := database.Describe(svc.setup.config.Scanner.Database.Dir)
	if err != nil {
		return err
	}
	limit := time.Duration(svc.setup.config.Scanner.Database.MaxAge)
	if age := time.Since(s.Built); age > limit {
		return fmt.Errorf("the vulnerability database is %s old, more than %s: run gatekeeper db update", age.Round(time.Minute), limit)
	}
	return nil
}

// run serves until ctx ends, then finishes what is under way. Webhooks are
// answered until that is done, and for listen.drain at least: /readyz says first
// that the service stops, so that nobody is sent to a closed port. Policies are
// read again when reload says so, which may be nil.
func (svc *service) run(ctx context.Context, reload <-chan os.Signal) (err error) {
	defer func() { err = errors.Join(err, svc.close()) }()
	svc.log.InfoContext(ctx, "listening", slog.String("webhooks", svc.webhooks.Addr().String()), slog.String("admin", svc.admin.Addr().String()),
		slog.Int("policies", len(svc.setup.policies.Compiled())), slog.String("version", Version()))
	group, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, func() {
		svc.stopping.Store(true)
		svc.log.InfoContext(ctx, "stopping")
	})
	drained := svc.drain(ctx)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	for listener, handler := range svc.servers {
		group.Go(func() error { return svc.serve(serving, listener, handler) })
	}
	group.Go(func() error {
		defer stopServing()
		if err := svc.journal.Run(ctx, svc.gate); err != nil {
			return err
		}
		<-drained
		return nil
	})
	group.Go(func() error { svc.watcher.Run(ctx, reload); return nil })
	if svc.late != nil {
		group.Go(func() error {
			if err := svc.late.ready(ctx); err != nil {
				svc.log.ErrorContext(ctx, "nothing is promoted until the signing key can be used", slog.Any("error", err))
			}
			return nil
		})
	}
	err = group.Wait()
	svc.log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return err
}

// drain returns a channel that is closed when load balancers had their time to
// notice that ctx ended.
func (svc *service) drain(ctx context.Context) <-chan struct{} {
	drained := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(time.Duration(svc.setup.config.Listen.Drain), func() { close(drained) })
	})
	return drained
}

func (svc *service) serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(svc.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		// Whoever is that slow is cut off; what was accepted is durable.
		svc.log.WarnContext(ctx, "requests under way were cut off", slog.String("listener", listener.Addr().String()), slog.Any("error", err))
		return server.Close()
	}
	return nil
}

func (svc *service) close() error {
	var errs []error
	for _, l := range []net.Listener{svc.webhooks, svc.admin} {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if svc.journal != nil {
		errs = append(errs, svc.journal.Close())
	}
	if svc.verifier != nil {
		errs = append(errs, svc.verifier.Close())
	}
	return errors.Join(errs...)
}
