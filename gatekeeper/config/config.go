// Package config reads the service's configuration file: strictly, with the
// place of every mistake, and with secrets only by reference.
package config

import (
	"fmt"
	"net/url"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// The identification of a configuration document.
const (
	APIVersion = "gatekeeper/v1alpha1"
	Kind       = "Configuration"
)

// Config is the configuration as it is written. What is left out has its
// default after Load.
type Config struct {
	APIVersion string      `yaml:"apiVersion" json:"apiVersion" jsonschema:"enum=gatekeeper/v1alpha1"`
	Kind       string      `yaml:"kind" json:"kind" jsonschema:"enum=Configuration"`
	Listen     Listen      `yaml:"listen" json:"listen,omitzero"`
	Admin      Admin       `yaml:"admin" json:"admin,omitzero"`
	Storage    Storage     `yaml:"storage" json:"storage,omitzero"`
	Registries []Registry  `yaml:"registries" json:"registries"`
	Signing    *Signing    `yaml:"signing" json:"signing,omitempty" jsonschema:"description=the signed summaries of promotions; none are written when left out"`
	TrustRoots []TrustRoot `yaml:"trustRoots" json:"trustRoots,omitempty"`
	Evidence   Evidence    `yaml:"evidence" json:"evidence,omitzero"`
	Scanner    Scanner     `yaml:"scanner" json:"scanner,omitzero"`
	Policies   string      `yaml:"policies" json:"policies" jsonschema:"description=a policy file or a folder of them"`
	Workers    int         `yaml:"workers" json:"workers,omitempty" jsonschema:"minimum=1,maximum=256,description=pushes judged at a time; 16 when left out"`
}

// Listen says where the service listens, as host:port.
type Listen struct {
	Webhooks string `yaml:"webhooks" json:"webhooks,omitempty" jsonschema:"description=where registries report pushes; :8080 when left out"`
	Admin    string `yaml:"admin" json:"admin,omitempty" jsonschema:"description=API\\, pages and metrics; 127.0.0.1:9090 when left out"`
}

// Admin says who may use the API and the pages. Beyond loopback a token is
// needed.
type Admin struct {
	TokenFile string `yaml:"tokenFile" json:"tokenFile,omitempty" jsonschema:"description=file with the bearer token"`
	TokenEnv  string `yaml:"tokenEnv" json:"tokenEnv,omitempty" jsonschema:"description=environment variable with the bearer token"`
	// PrivateMetrics asks for the token on /metrics too.
	PrivateMetrics bool `yaml:"privateMetrics" json:"privateMetrics,omitempty" jsonschema:"description=ask for the token on /metrics too"`
}

// Storage says where the journal is kept, and everything else.
type Storage struct {
	URL string `yaml:"url" json:"url,omitempty" jsonschema:"description=sqlite:///path/to/gatekeeper.db for one process\\, postgres://user@host:5432/database for any number"`
	// PasswordFile and PasswordEnv name the password of PostgreSQL's user; it
	// is read for each connection anew.
	PasswordFile string `yaml:"passwordFile" json:"passwordFile,omitempty" jsonschema:"description=file with PostgreSQL's password"`
	PasswordEnv  string `yaml:"passwordEnv" json:"passwordEnv,omitempty" jsonschema:"description=environment variable with PostgreSQL's password"`
	// Dir is this process's own folder.
	Dir string `yaml:"dir" json:"dir,omitempty" jsonschema:"description=folder of the vulnerability database\\, trust roots and images that are scanned; that of the SQLite file when left out\\, /var/lib/gatekeeper with PostgreSQL"`
	// Keep is how long pushes and decisions are kept that led to nothing
	// golden and were overtaken since.
	Keep policy.Duration `yaml:"keep" json:"keep,omitempty" jsonschema:"type=string,description=how long pushes and decisions are kept that never became golden and are not the newest of their tag; for ever when left out"`
}

// Registry is a registry that the service may speak to.
type Registry struct {
	Name          string         `yaml:"name" json:"name" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	URL           string         `yaml:"url" json:"url" jsonschema:"description=scheme\\, host and port"`
	CAFile        string         `yaml:"caFile" json:"caFile,omitempty" jsonschema:"description=PEM certificates to trust instead of the system's"`
	Auth          Auth           `yaml:"auth" json:"auth,omitzero"`
	Notifications *Notifications `yaml:"notifications" json:"notifications,omitempty"`
	Reconcile     *Reconcile     `yaml:"reconcile" json:"reconcile,omitempty"`
	Limits        Limits         `yaml:"limits" json:"limits,omitzero"`
}

// Auth says how to authenticate to a registry. Without anything, the
// credentials of `docker login` are used.
type Auth struct {
	DockerConfig string `yaml:"dockerConfig" json:"dockerConfig,omitempty" jsonschema:"description=a config.json as docker login writes it"`
	Username     string `yaml:"username" json:"username,omitempty"`
	PasswordFile string `yaml:"passwordFile" json:"passwordFile,omitempty"`
	PasswordEnv  string `yaml:"passwordEnv" json:"passwordEnv,omitempty"`
	Anonymous    bool   `yaml:"anonymous" json:"anonymous,omitempty" jsonschema:"description=never send credentials"`
	// TokenServers are trusted with the credentials beside the registry
	// itself: host or host:port.
	TokenServers []string `yaml:"tokenServers" json:"tokenServers,omitempty" jsonschema:"description=host or host:port of servers that may issue tokens for this registry\\, beside the registry itself and https servers of its domain at a public address"`
}

// Notifications makes a registry a source: it reports pushes to
// /webhooks/NAME.
type Notifications struct {
	Format     string `yaml:"format" json:"format" jsonschema:"enum=distribution"`
	SecretFile string `yaml:"secretFile" json:"secretFile,omitempty"`
	SecretEnv  string `yaml:"secretEnv" json:"secretEnv,omitempty"`
}

// Limits bound the traffic to a registry.
type Limits struct {
	RequestsPerSecond float64 `yaml:"requestsPerSecond" json:"requestsPerSecond,omitempty" jsonschema:"minimum=0,description=unlimited when left out"`
	Concurrent        int     `yaml:"concurrent" json:"concurrent,omitempty" jsonschema:"minimum=0,description=requests under way at a time; 16 when left out"`
}

// Evidence bounds what is read of what is signed about one image.
type Evidence struct {
	MaxSize    string `yaml:"maxSize" json:"maxSize,omitempty" jsonschema:"description=of one attestation or bundle\\, as it is stored and decompressed; 16MiB when left out\\, at most 32MiB"`
	MaxEntries int    `yaml:"maxEntries" json:"maxEntries,omitempty" jsonschema:"minimum=0,maximum=1000,description=referrers of an image\\, and signatures under one tag; 100 when left out"`
}

// Scanner sets up the embedded vulnerability scanner.
type Scanner struct {
	Database   Database        `yaml:"database" json:"database,omitzero"`
	Timeout    policy.Duration `yaml:"timeout" json:"timeout,omitempty" jsonschema:"type=string,description=for one platform of an image; 10m when left out"`
	Memory     string          `yaml:"memory" json:"memory,omitempty" jsonschema:"description=address space of one scan\\, of which half may be written to; 4GiB when left out"`
	MaxSize    string          `yaml:"maxSize" json:"maxSize,omitempty" jsonschema:"description=compressed layers of one platform; 8GiB when left out"`
	Disk       string          `yaml:"disk" json:"disk,omitempty" jsonschema:"description=room on disk for one scan\\, layers compressed and unpacked; five times maxSize when left out"`
	Concurrent int             `yaml:"concurrent" json:"concurrent,omitempty" jsonschema:"minimum=0,description=scans at a time\\, of which those of images of 1GiB and more leave one to others; 2 when left out"`
}

// Database is the vulnerability database.
type Database struct {
	Dir    string          `yaml:"dir" json:"dir,omitempty" jsonschema:"description=where it is kept; beside the journal when left out"`
	URL    string          `yaml:"url" json:"url,omitempty" jsonschema:"description=a mirror of the vendor's listing (latest.json); the vendor when left out"`
	MaxAge policy.Duration `yaml:"maxAge" json:"maxAge,omitempty" jsonschema:"type=string,description=readiness reports an older one; 48h when left out. What counts for a verdict is the policy's report.maxAge"`
}

// The defaults.
const (
	defaultWebhooks = ":8080"
	defaultAdmin    = "127.0.0.1:9090"
	defaultStorage  = "sqlite:///var/lib/gatekeeper/gatekeeper.db"
	defaultDir      = "/var/lib/gatekeeper"
	defaultMaxAge   = 48 * time.Hour
	defaultTimeout  = 10 * time.Minute
	defaultMemory   = "4GiB"
	defaultMaxSize  = "8GiB"
	defaultEvidence = "16MiB"
)

// SourceNames lists the registries whose pushes are judged: those that report
// them, and those that are only looked at.
func (c *Config) SourceNames() []string {
	var names []string
	for _, r := range c.Registries {
		if r.Notifications != nil || r.Reconcile != nil {
			names = append(names, r.Name)
		}
	}
	return names
}

// Registry returns the registry of a name.
func (c *Config) Registry(name string) (Registry, bool) {
	for _, r := range c.Registries {
		if r.Name == name {
			return r, true
		}
	}
	return Registry{}, false
}

// ParsedURL is the registry's URL, which Load has checked.
func (r Registry) ParsedURL() (*url.URL, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", r.Name, err)
	}
	return u, nil
}
