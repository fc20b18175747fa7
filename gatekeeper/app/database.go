package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/config"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/database"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/journal"
)

// DatabaseOptions are the flags of db.
type DatabaseOptions struct {
	Config  string // file; empty: a service without a configuration
	Data    string // folder; only without Config
	Output  string
	Archive string // for import
	SHA256  string // for import; empty: not checked
	// Every makes update go on, at this interval; 0 updates once.
	Every time.Duration
}

// minUpdateInterval is the least interval of update: the vendor builds a
// database once a day.
const minUpdateInterval = 10 * time.Minute

// place says where the database is kept, where it comes from, and how old it
// may be.
func (o DatabaseOptions) place() (config.Database, error) {
	if err := checkOutput(o.Output); err != nil {
		return config.Database{}, err
	}
	if o.Config != "" {
		c, err := config.Load(o.Config)
		if err != nil {
			return config.Database{}, status(StatusUsage, err)
		}
		return c.Scanner.Database, nil
	}
	c, err := oneMachineConfig(o.Data, stagingAddress, goldenAddress, adminAddress)
	if err != nil {
		return config.Database{}, status(StatusUsage, err)
	}
	return c.Scanner.Database, nil
}

// UpdateDatabase installs the newest database. With an interval it goes on
// until ctx ends; then a failure is reported and tried again.
func UpdateDatabase(ctx context.Context, o DatabaseOptions, streams Streams) error {
	place, err := o.place()
	if err != nil {
		return err
	}
	if o.Every == 0 {
		return o.update(ctx, place, streams)
	}
	if o.Every < minUpdateInterval {
		return status(StatusUsage, fmt.Errorf("--every %s is too often; use %s or more", o.Every, minUpdateInterval))
	}
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	for {
		if err := o.update(ctx, place, streams); err != nil && ctx.Err() == nil {
			if _, err := fmt.Fprintln(streams.Err, "gatekeeper:", err); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (o DatabaseOptions) update(ctx context.Context, place config.Database, streams Streams) error {
	newer, err := database.Update(ctx, place.Dir, place.URL)
	if err != nil {
		return status(StatusUndecided, err)
	}
	headline := "the database was already the newest"
	if newer {
		headline = "a newer database was installed"
	}
	return o.print(place, headline, streams)
}

// ImportDatabase installs a database from a file.
func ImportDatabase(ctx context.Context, o DatabaseOptions, streams Streams) error {
	place, err := o.place()
	if err != nil {
		return err
	}
	if err := database.Import(ctx, place.Dir, o.Archive, o.SHA256); err != nil {
		return status(StatusUndecided, err)
	}
	return o.print(place, "the database was installed", streams)
}

// DatabaseStatus says which database is installed. An outdated or damaged one
// has exit status 1, none at all 3.
func DatabaseStatus(_ context.Context, o DatabaseOptions, streams Streams) error {
	place, err := o.place()
	if err != nil {
		return err
	}
	s, err := database.Verify(place.Dir)
	switch {
	case errors.Is(err, database.ErrAbsent):
		return status(StatusUndecided, err)
	case err != nil:
		return status(StatusRejected, err)
	}
	if err := o.print(place, "", streams); err != nil {
		return err
	}
	if age := time.Since(s.Built); age > time.Duration(place.MaxAge) {
		return status(StatusRejected, fmt.Errorf("the database is older than %s; run gatekeeper db update", place.MaxAge))
	}
	return nil
}

// databaseReport is what is printed as JSON.
type databaseReport struct {
	database.Status
	AgeSeconds float64 `json:"ageSeconds"`
	Outdated   bool    `json:"outdated"`
	Message    string  `json:"message,omitempty"`
}

func (o DatabaseOptions) print(place config.Database, headline string, streams Streams) error {
	s, err := database.Describe(place.Dir)
	if err != nil {
		return status(StatusUndecided, err)
	}
	age := time.Since(s.Built)
	if o.Output == outputJSON {
		return printJSON(streams.Out, databaseReport{s, age.Seconds(), age > time.Duration(place.MaxAge), headline})
	}
	if headline != "" {
		if _, err := fmt.Fprintln(streams.Out, headline); err != nil {
			return err
		}
	}
	note := ""
	if s.Sample {
		note = "\nsample    for demonstrations only: real advisories, far too few to judge images by"
	}
	_, err = fmt.Fprintf(streams.Out, "folder    %s\nbuilt     %s, %s ago\nschema    %s\nchecksum  %s%s\n",
		s.Dir, s.Built.UTC().Format(time.DateTime), age.Round(time.Minute), s.Schema, s.Checksum, note)
	return err
}

// MigrateOptions are the flags of db migrate.
type MigrateOptions struct {
	Config string // file; empty: a service without a configuration
	Data   string // folder; only without Config
	Output string // text or json
}

// MigrateJournal brings the tables of the journal up to date, as a service
// does when it starts.
func MigrateJournal(ctx context.Context, o MigrateOptions, streams Streams) error {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	c, err := o.configuration()
	if err != nil {
		return status(StatusUsage, err)
	}
	if err := journal.Migrate(ctx, c.Storage.URL, passwordOf(c.Storage), slog.New(slog.DiscardHandler)); err != nil {
		return status(StatusUndecided, err)
	}
	if o.Output == outputJSON {
		return printJSON(streams.Out, map[string]bool{"upToDate": true})
	}
	_, err = fmt.Fprintln(streams.Out, "the journal's tables are up to date")
	return err
}

// passwordOf reads PostgreSQL's password; nil when there is none to read.
func passwordOf(s config.Storage) func() (string, error) {
	if s.PasswordFile == "" && s.PasswordEnv == "" {
		return nil
	}
	return s.Password
}

func (o MigrateOptions) configuration() (*config.Config, error) {
	if o.Config == "" {
		return oneMachineConfig(o.Data, stagingAddress, goldenAddress, adminAddress)
	}
	return config.Load(o.Config)
}
