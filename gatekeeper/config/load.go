package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
	"github.com/golden-gatekeeper/gatekeeper/policy/strictyaml"
)

// Load reads a configuration file. The error joins one error for each
// mistake, with its place.
func Load(file string) (*Config, error) {
	data, err := readLimited(file, strictyaml.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(file, data)
}

// LoadForAudit reads a configuration file as Load does, for somebody who only
// compares golden repositories with their summaries: policies and a registry
// that reports pushes may be missing.
func LoadForAudit(file string) (*Config, error) {
	data, err := readLimited(file, strictyaml.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(file, data, true)
}

// Parse reads a configuration, applies the defaults and checks it.
func Parse(file string, data []byte) (*Config, error) { return parse(file, data, false) }

func parse(file string, data []byte, auditOnly bool) (*Config, error) {
	docs, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, &strictyaml.Error{
			File: file, Line: 1, Column: 1,
			Message: fmt.Sprintf("%d documents, want exactly one with kind: %s", len(docs), Kind),
		}
	}
	c := new(Config)
	if err := docs[0].Decode(c); err != nil {
		return nil, err
	}
	c.applyDefaults()
	v := &validator{c: c, doc: docs[0], auditOnly: auditOnly}
	v.validate()
	if len(v.errs) > 0 {
		return nil, errors.Join(v.errs...)
	}
	return c, nil
}

func (c *Config) applyDefaults() {
	c.Listen.Webhooks = cmp.Or(c.Listen.Webhooks, defaultWebhooks)
	c.Listen.Admin = cmp.Or(c.Listen.Admin, defaultAdmin)
	c.Storage.URL = cmp.Or(c.Storage.URL, defaultStorage)
	c.Scanner.Database.MaxAge = cmp.Or(c.Scanner.Database.MaxAge, policy.Duration(defaultMaxAge))
	c.Scanner.Timeout = cmp.Or(c.Scanner.Timeout, policy.Duration(defaultTimeout))
	c.Scanner.Memory = cmp.Or(c.Scanner.Memory, defaultMemory)
	c.Scanner.MaxSize = cmp.Or(c.Scanner.MaxSize, defaultMaxSize)
	c.Evidence.MaxSize = cmp.Or(c.Evidence.MaxSize, defaultEvidence)
	for i := range c.Registries {
		c.Registries[i].reconcileDefaults()
	}
	if c.Storage.Dir == "" {
		c.Storage.Dir = defaultDir
		if path, ok := strings.CutPrefix(c.Storage.URL, "sqlite://"); ok {
			c.Storage.Dir = filepath.Dir(path)
		}
	}
	c.Scanner.Database.Dir = cmp.Or(c.Scanner.Database.Dir, filepath.Join(c.Storage.Dir, "vulnerability-database"))
}

// readLimited reads a file, and one byte more than the limit of what is larger.
func readLimited(file string, limit int64) (_ []byte, err error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, limit+1))
}
