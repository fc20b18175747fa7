package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// FormatDistribution is the notification format of CNCF Distribution.
const FormatDistribution = "distribution"

// maxConcurrent bounds what a configuration may ask for at a time.
const maxConcurrent = 256

// maxTokenServers bounds how many hosts a registry's credentials may go to.
const maxTokenServers = 16

// dnsLabel is what names are: they become part of a URL's path, a metric's
// label and a folder's name.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// hostName is a name as DNS has them.
var hostName = regexp.MustCompile(`^(?i)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

type validator struct {
	c    *Config
	doc  *strictyaml.Document
	errs []error
	// auditOnly: nothing is decided, so that nothing to decide by is needed.
	auditOnly bool
}

func (v *validator) failf(path, format string, args ...any) {
	v.errs = append(v.errs, v.doc.Errorf(path, format, args...))
}

func (v *validator) validate() {
	if v.c.APIVersion != APIVersion {
		v.failf("$.apiVersion", "%q is not known; write %s", v.c.APIVersion, APIVersion)
	}
	if v.c.Kind != Kind {
		v.failf("$.kind", "%q is not a configuration; write %s", v.c.Kind, Kind)
	}
	v.listen()
	v.storage()
	v.registries()
	v.trustRoots()
	v.evidence()
	v.signing()
	v.scanner()
	if v.c.Policies == "" && !v.auditOnly {
		v.failf("$.policies", "is missing; write the path of a policy file or of a folder of them")
	}
	if v.c.Workers < 0 || v.c.Workers > maxConcurrent {
		v.failf("$.workers", "%d is out of range; write 1 to %d", v.c.Workers, maxConcurrent)
	}
}

func (v *validator) listen() {
	v.address("$.listen.webhooks", v.c.Listen.Webhooks)
	v.exclusive("$.admin", "tokenFile", v.c.Admin.TokenFile, "tokenEnv", v.c.Admin.TokenEnv)
	if !v.address("$.listen.admin", v.c.Listen.Admin) {
		return
	}
	if !loopback(v.c.Listen.Admin) && v.c.Admin.TokenFile == "" && v.c.Admin.TokenEnv == "" {
		v.failf("$.listen.admin", "%s can be reached from other machines; set admin.tokenFile, or listen on 127.0.0.1", v.c.Listen.Admin)
	}
}

// loopback says whether an address can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (v *validator) address(path, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.failf(path, "%q is no address; write host:port, as in 127.0.0.1:9090 or :8080", address)
		return false
	}
	if host != "" && host != "localhost" && net.ParseIP(host) == nil {
		v.failf(path, "%q is no IP address; write one, or leave the host out to listen on all", host)
		return false
	}
	return true
}

func (v *validator) storage() {
	s := v.c.Storage
	v.exclusive("$.storage", "passwordFile", s.PasswordFile, "passwordEnv", s.PasswordEnv)
	if s.Keep != 0 && time.Duration(s.Keep) < minKeep {
		v.failf("$.storage.keep", "is less than a day; write at least 1d, or leave it out to keep everything")
	}
	path, isFile := strings.CutPrefix(s.URL, "sqlite://")
	switch {
	case isFile && path != "":
		if s.PasswordFile != "" || s.PasswordEnv != "" {
			v.failf("$.storage", "has a password, which SQLite does not ask for; remove it")
		}
	case strings.HasPrefix(s.URL, "postgres://"), strings.HasPrefix(s.URL, "postgresql://"):
		v.postgres(s.URL)
	default:
		v.failf("$.storage.url", "is not understood; write sqlite:///path/to/gatekeeper.db or postgres://user@host:5432/database")
	}
}

// minKeep is how long records are kept at least.
const minKeep = 24 * time.Hour

func (v *validator) postgres(text string) {
	u, err := url.Parse(text)
	if err != nil {
		v.failf("$.storage.url", "is no URL; write postgres://user@host:5432/database?sslmode=verify-full")
		return
	}
	_, inUser := u.User.Password()
	if inUser || u.Query().Has("password") {
		v.failf("$.storage.url", "holds a password; write it into a file and name that as storage.passwordFile")
	}
}

func (v *validator) registries() {
	if len(v.c.Registries) == 0 {
		v.failf("$.registries", "is missing; name at least the source and the golden registry")
		return
	}
	seen := map[string]bool{}
	for i, r := range v.c.Registries {
		at := fmt.Sprintf("$.registries[%d]", i)
		v.name(at+".name", r.Name, seen)
		v.registry(at, r)
	}
	if len(v.c.SourceNames()) == 0 && !v.auditOnly {
		v.failf("$.registries", "none is a source; give the source registry a notifications section, or a reconcile section when it cannot report pushes")
	}
}

// name checks a name, which nothing of its kind has had before.
func (v *validator) name(path, name string, seen map[string]bool) {
	switch {
	case !dnsLabel.MatchString(name):
		v.failf(path, "%q is no name; use up to 63 of a-z, 0-9 and - as in a DNS label", name)
	case seen[name]:
		v.failf(path, "%q is there twice; names are unique", name)
	}
	seen[name] = true
}

func (v *validator) registry(at string, r Registry) {
	v.registryURL(at+".url", r.URL)
	v.auth(at+".auth", r.Auth)
	v.reconcile(at+".reconcile", r)
	if r.Limits.RequestsPerSecond < 0 {
		v.failf(at+".limits.requestsPerSecond", "is negative; write a positive number")
	}
	if r.Limits.Concurrent < 0 || r.Limits.Concurrent > maxConcurrent {
		v.failf(at+".limits.concurrent", "is out of range; write 1 to %d", maxConcurrent)
	}
	n := r.Notifications
	if n == nil {
		return
	}
	if n.Format != FormatDistribution {
		v.failf(at+".notifications.format", "%q is not supported; write %s", n.Format, FormatDistribution)
	}
	v.exclusive(at+".notifications", "secretFile", n.SecretFile, "secretEnv", n.SecretEnv)
	if n.SecretFile == "" && n.SecretEnv == "" {
		v.failf(at+".notifications", "has no secret; write secretFile: PATH or secretEnv: NAME")
	}
}

func (v *validator) registryURL(path, text string) {
	const remedy = "write scheme, host and port, as in https://registry.example.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.failf(path, "is no registry's URL; %s", remedy)
	case u.User != nil:
		v.failf(path, "holds credentials; use auth.username and auth.passwordFile")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		v.failf(path, "has more than a host; %s", remedy)
	}
}

func (v *validator) auth(at string, a Auth) {
	if len(a.TokenServers) > maxTokenServers {
		v.failf(at+".tokenServers", "has %d entries; name at most %d", len(a.TokenServers), maxTokenServers)
	}
	for i, server := range a.TokenServers {
		if !hostAndPort(server) {
			v.failf(fmt.Sprintf("%s.tokenServers[%d]", at, i), "%q is no host; write host or host:port, as in auth.example.com or 10.0.0.7:5001", server)
		}
	}
	v.exclusive(at, "passwordFile", a.PasswordFile, "passwordEnv", a.PasswordEnv)
	password := a.PasswordFile != "" || a.PasswordEnv != ""
	kinds := 0
	for _, set := range []bool{a.DockerConfig != "", a.Username != "" || password, a.Anonymous} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		v.failf(at, "is contradictory; keep one of dockerConfig, username with passwordFile, and anonymous")
	case a.Username != "" && !password:
		v.failf(at+".username", "has no password; write passwordFile: PATH or passwordEnv: NAME")
	case a.Username == "" && password:
		v.failf(at, "has a password without username")
	}
}

// hostAndPort says whether a text is a host, with or without a port: no scheme,
// no path, no wildcard.
func hostAndPort(text string) bool {
	u, err := url.Parse("https://" + text)
	if err != nil || u.Host != text || u.User != nil || strings.HasSuffix(text, ":") {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	return net.ParseIP(u.Hostname()) != nil || hostName.MatchString(u.Hostname())
}

func (v *validator) exclusive(at, firstKey, first, secondKey, second string) {
	if first != "" && second != "" {
		v.failf(at, "has both %s and %s; keep one", firstKey, secondKey)
	}
}

func (v *validator) scanner() {
	s := v.c.Scanner
	if _, err := humanize.ParseBytes(s.Memory); err != nil {
		v.failf("$.scanner.memory", "%q is no size; write 4GiB", s.Memory)
	}
	if _, err := humanize.ParseBytes(s.MaxSize); err != nil {
		v.failf("$.scanner.maxSize", "%q is no size; write 8GiB", s.MaxSize)
	}
	if s.Disk != "" {
		if n, err := humanize.ParseBytes(s.Disk); err != nil || n == 0 {
			v.failf("$.scanner.disk", "%q is no size; write 40GiB", s.Disk)
		}
	}
	if s.Concurrent < 0 || s.Concurrent > maxConcurrent {
		v.failf("$.scanner.concurrent", "is out of range; write 1 to %d", maxConcurrent)
	}
	if s.Database.URL == "" {
		return
	}
	if u, err := url.Parse(s.Database.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		v.failf("$.scanner.database.url", "is no URL; write that of a mirror's latest.json")
	}
}

// The limits of the limits of evidence.
const (
	maxEvidence = 32 << 20 // bytes
	maxEntries  = 1000
)

func (v *validator) evidence() {
	e := v.c.Evidence
	if n, err := humanize.ParseBytes(e.MaxSize); err != nil || n == 0 || n > maxEvidence {
		v.failf("$.evidence.maxSize", "%q is no size up to 32MiB; write 16MiB", e.MaxSize)
	}
	if e.MaxEntries < 0 || e.MaxEntries > maxEntries {
		v.failf("$.evidence.maxEntries", "%d is out of range; write 1 to %d", e.MaxEntries, maxEntries)
	}
}

// Bytes is MaxSize in bytes.
func (e Evidence) Bytes() (int64, error) {
	n, err := humanize.ParseBytes(e.MaxSize)
	if err != nil {
		return 0, fmt.Errorf("evidence.maxSize: %w", err)
	}
	return int64(min(n, maxEvidence)), nil
}

// Sizes are those of the scanner, in bytes. No disk: the scanner's default.
type Sizes struct{ Memory, MaxSize, Disk uint64 }

// Bytes are the sizes of the scanner in bytes.
func (s Scanner) Bytes() (Sizes, error) {
	var all Sizes
	for _, size := range []struct {
		name, text string
		to         *uint64
	}{{"memory", s.Memory, &all.Memory}, {"maxSize", s.MaxSize, &all.MaxSize}, {"disk", cmp.Or(s.Disk, "0"), &all.Disk}} {
		n, err := humanize.ParseBytes(size.text)
		if err != nil {
			return Sizes{}, fmt.Errorf("scanner.%s: %w", size.name, err)
		}
		*size.to = n
	}
	return all, nil
}
