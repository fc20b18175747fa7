package app

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/cosignkey"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/embedded"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/promote/summary"
)

// The files of a service without a configuration, below its data folder.
const (
	privateKeyFile = "cosign.key" // for the developers' signatures
	publicKeyFile  = "cosign.pub"
	ownKeyFile     = "gatekeeper.key" // for the gatekeeper's own summaries
	ownPublicFile  = "gatekeeper.pub"
	policiesDir    = "policies"
	starterFile    = "starter.yaml"
	journalFile    = "gatekeeper.db"
	secretFile     = "notification-secret"
	databaseDir    = "vulnerability-database"
)

//go:embed starter.yaml
var starterPolicy []byte

// prepareData makes what is missing of the data folder: two key pairs,
// encrypted with the empty password as they are only there to start with, and
// the starter policy. What is there stays as it is.
func prepareData(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, policiesDir), 0o750); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	if err := prepareKeys(dir); err != nil {
		return err
	}
	if err := prepareOwnKeys(dir); err != nil {
		return err
	}
	if err := prepareSecret(filepath.Join(dir, secretFile)); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(dir, policiesDir))
	if err != nil {
		return fmt.Errorf("read the policies folder: %w", err)
	}
	if len(entries) > 0 {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, policiesDir, starterFile), starterPolicy, 0o600); err != nil {
		return fmt.Errorf("write the starter policy: %w", err)
	}
	return nil
}

func prepareKeys(dir string) error {
	private, public := filepath.Join(dir, privateKeyFile), filepath.Join(dir, publicKeyFile)
	havePrivate, err := exists(private)
	if err != nil {
		return err
	}
	havePublic, err := exists(public)
	switch {
	case err != nil:
		return err
	case havePublic: // the private key may well be kept elsewhere
		return nil
	case havePrivate:
		return fmt.Errorf("%s is missing beside %s: write it with cosign public-key --key %s", public, private, private)
	}
	return generateKeys(private, public)
}

// prepareOwnKeys makes the pair that the gatekeeper itself signs with. Its
// private key never is elsewhere.
func prepareOwnKeys(dir string) error {
	private, public := filepath.Join(dir, ownKeyFile), filepath.Join(dir, ownPublicFile)
	havePrivate, err := exists(private)
	if err != nil {
		return err
	}
	havePublic, err := exists(public)
	switch {
	case err != nil:
		return err
	case havePrivate && havePublic:
		return nil
	case havePrivate: // it ended between the two
		return writePublicKey(private, public)
	case havePublic:
		return fmt.Errorf("%s is missing beside %s: put it back, or remove the public key too to start with a new pair", private, public)
	}
	return generateKeys(private, public)
}

// writePublicKey derives a public key.
func writePublicKey(private, public string) error {
	text, err := os.ReadFile(filepath.Clean(private))
	if err != nil {
		return fmt.Errorf("read the private key: %w", err)
	}
	signer, err := cosignkey.Load(text, nil)
	if err != nil {
		return fmt.Errorf("%s is missing, and cannot be derived from %s: %w", public, private, err)
	}
	key, err := signer.PublicKey()
	if err != nil {
		return fmt.Errorf("derive the public key of %s: %w", private, err)
	}
	if text, err = cryptoutils.MarshalPublicKeyToPEM(key); err != nil {
		return fmt.Errorf("encode the public key of %s: %w", private, err)
	}
	if err := os.WriteFile(public, text, 0o644); err != nil { //nolint:gosec // a public key is for everybody
		return fmt.Errorf("write the public key: %w", err)
	}
	return nil
}

func generateKeys(private, public string) error {
	pair, err := cosignkey.Generate(nil)
	if err != nil {
		return fmt.Errorf("generate a key pair: %w", err)
	}
	if err := os.WriteFile(private, pair.Private, 0o600); err != nil {
		return fmt.Errorf("write the private key: %w", err)
	}
	if err := os.WriteFile(public, pair.Public, 0o644); err != nil { //nolint:gosec // a public key is for everybody
		return fmt.Errorf("write the public key: %w", err)
	}
	return nil
}

// prepareSecret writes what the embedded staging registry's notifications
// carry.
func prepareSecret(file string) error {
	there, err := exists(file)
	if err != nil {
		return err
	}
	if there {
		_, err := readSecret(file)
		return err
	}
	if err := os.WriteFile(file, []byte(rand.Text()+"\n"), 0o600); err != nil {
		// A part of it would be taken for the whole.
		return errors.Join(fmt.Errorf("write the notification secret: %w", err), os.Remove(file))
	}
	return nil
}

func readSecret(file string) (string, error) {
	content, err := os.ReadFile(file) //nolint:gosec // of the data folder
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", fmt.Errorf("the notification secret in %s is empty: remove the file, and another one is made", file)
	}
	return secret, nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// oneMachineConfig is the configuration of a service without a configuration.
func oneMachineConfig(dir, staging, golden, admin string) (*config.Config, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return config.Parse("(built in)", fmt.Appendf(nil, `apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: %[4]q, admin: %[4]q}
storage: {url: %[5]q}
registries:
  - {name: staging, url: "http://%[2]s", auth: {anonymous: true}, notifications: {format: distribution, secretFile: %[6]q}}
  - {name: golden, url: "http://%[3]s", auth: {anonymous: true}}
signing: {key: %[9]q}
scanner: {database: {dir: %[7]q}}
policies: %[8]q
`, dir, staging, golden, admin, "sqlite://"+filepath.Join(dir, journalFile), filepath.Join(dir, secretFile),
		filepath.Join(dir, databaseDir), filepath.Join(dir, policiesDir), filepath.Join(dir, ownKeyFile)))
}

// machineOptions say where a service with embedded registries lives.
type machineOptions struct {
	dir                    string // prepared
	staging, golden, admin string // addresses; port 0 takes a free one
	registryBinary         string // run the registries with it instead of in process
	log                    *slog.Logger
}

// registryServer is a running registry of our own.
type registryServer interface {
	Addr() string
	Close(ctx context.Context) error
}

// machine is a service with its own registries.
type machine struct {
	opts            machineOptions
	staging, golden registryServer
	service         *service
	cancel          context.CancelFunc
	done            chan error
}

// startOneMachine starts the registries and the service.
func startOneMachine(ctx context.Context, o machineOptions) (_ *machine, err error) {
	m := &machine{opts: o, done: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.closeRegistries(ctx))
		}
	}()
	var lc net.ListenConfig
	admin, err := lc.Listen(ctx, "tcp", o.admin)
	if err != nil {
		return nil, err
	}
	writeToken := rand.Text()
	if err := m.startRegistries(ctx, admin.Addr().String(), writeToken); err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	c, err := oneMachineConfig(o.dir, m.staging.Addr(), m.golden.Addr(), admin.Addr().String())
	if err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	s, err := withPolicies(ctx, c)
	if err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	s.wrap = map[string]func(http.RoundTripper) http.RoundTripper{"golden": func(next http.RoundTripper) http.RoundTripper {
		return &embedded.Writer{Host: m.golden.Addr(), Token: writeToken, Next: next}
	}}
	if m.service, err = newService(ctx, s, admin, admin, o.log); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	go func() { m.done <- m.service.run(running, nil) }()
	return m, nil
}

func (m *machine) startRegistries(ctx context.Context, webhooks, writeToken string) (err error) {
	secret, err := readSecret(filepath.Join(m.opts.dir, secretFile))
	if err != nil {
		return err
	}
	notify := &embedded.Endpoint{URL: "http://" + webhooks + "/webhooks/staging", Secret: secret}
	if m.opts.registryBinary != "" {
		if m.staging, err = startRegistryProcess(ctx, m.opts.registryBinary, filepath.Join(m.opts.dir, "staging"), notify); err != nil {
			return err
		}
		m.golden, err = startRegistryProcess(ctx, m.opts.registryBinary, filepath.Join(m.opts.dir, "golden"), nil)
		return err
	}
	if m.staging, err = m.startEmbedded(ctx, "staging", m.opts.staging, notify, ""); err != nil {
		return err
	}
	m.golden, err = m.startEmbedded(ctx, "golden", m.opts.golden, nil, writeToken)
	return err
}

func (m *machine) startEmbedded(ctx context.Context, name, address string, notify *embedded.Endpoint, token string) (registryServer, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	r, err := embedded.Start(ctx, embedded.Options{
		Name: name, Listener: listener, Dir: filepath.Join(m.opts.dir, name), Notify: notify, WriteToken: token, Log: m.opts.log,
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return r, nil
}

// wait serves until ctx ends or the service does.
func (m *machine) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return m.stop(ctx)
	case err := <-m.done:
		return errors.Join(err, m.closeRegistries(ctx))
	}
}

// stop ends the registries first, so that what they report is still heard.
func (m *machine) stop(ctx context.Context) error {
	err := m.closeRegistries(ctx)
	m.cancel()
	return errors.Join(err, <-m.done)
}

func (m *machine) closeRegistries(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	var errs []error
	for _, r := range []registryServer{m.staging, m.golden} {
		if r != nil {
			errs = append(errs, r.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// url is where the API and the pages are.
func (m *machine) url() string { return "http://" + m.service.admin.Addr().String() }

// welcome says how to push and sign.
func (m *machine) welcome() string {
	return fmt.Sprintf(`Gatekeeper runs.

  staging registry   %[1]s   push here
  golden registry    %[2]s   only the gatekeeper writes here
  pages and API      %[3]s
  policies           %[4]s
  data               %[5]s

Push an image and sign it:

%[6]s
Every golden image carries a signed summary of its approval:

%[7]s
Ctrl-C stops it.
`, m.staging.Addr(), m.golden.Addr(), m.url(), filepath.Join(m.opts.dir, policiesDir), m.opts.dir, m.instructions("hello"), m.summaryCommand("hello")+m.auditCommand("hello"))
}

// summaryCommand verifies the signed summary of an image.
func (m *machine) summaryCommand(repository string) string {
	return fmt.Sprintf(`  cosign verify-attestation --key %[3]s --type %[4]s \
    --insecure-ignore-tlog %[1]s/%[2]s:v1
`, m.golden.Addr(), repository, filepath.Join(m.opts.dir, ownPublicFile), summary.PredicateType)
}

// auditCommand looks at every tag of a repository.
func (m *machine) auditCommand(repository string) string {
	return fmt.Sprintf("  gatekeeper audit --data %s %s/%s\n", m.opts.dir, m.golden.Addr(), repository)
}

// instructions are the commands that make an image of one's own golden.
func (m *machine) instructions(repository string) string {
	return fmt.Sprintf(`  docker tag alpine:latest %[1]s/%[3]s:v1
  docker push %[1]s/%[3]s:v1
  COSIGN_PASSWORD= cosign sign --key %[4]s --tlog-upload=false --yes %[1]s/%[3]s:v1
  gatekeeper explain --server %[5]s %[3]s:v1
  docker pull %[2]s/%[3]s:v1
`, m.staging.Addr(), m.golden.Addr(), repository, filepath.Join(m.opts.dir, privateKeyFile), m.url())
}
