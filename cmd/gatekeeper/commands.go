package main

import (
	"cmp"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
)

func explain(streams app.Streams) *cobra.Command {
	var o app.ExplainOptions
	c := &cobra.Command{
		Use:   "explain IMAGE",
		Short: "Say what was decided about an image and what to do about it",
		Long: `Ask the service what it decided about an image that was pushed, and why.

Exit status: 0 when there is an answer, 3 when there is none.`,
		Example: "  gatekeeper explain team-a/app:v1.2.3\n  gatekeeper explain --server https://gatekeeper.example.com team-a/app@sha256:…",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Image = args[0]
			return app.Explain(c.Context(), o, streams)
		},
	}
	serverFlags(c, &o.Server)
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	return c
}

func decisions(streams app.Streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "decisions",
		Short:   "List and show decisions of the service",
		Example: "  gatekeeper decisions list --verdict rejected\n  gatekeeper decisions show 42",
	}
	c.AddCommand(decisionsList(streams), decisionsShow(streams))
	return c
}

func decisionsList(streams app.Streams) *cobra.Command {
	var o app.ListOptions
	c := &cobra.Command{
		Use:     "list",
		Short:   "List decisions, newest first",
		Example: "  gatekeeper decisions list --repository team-a/app --verdict rejected -o json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return app.ListDecisions(c.Context(), o, streams) },
	}
	serverFlags(c, &o.Server)
	c.Flags().StringVar(&o.Verdict, "verdict", "", "promoted, rejected, pending, superseded or error")
	c.Flags().StringVar(&o.Repository, "repository", "", "only this repository")
	c.Flags().StringVar(&o.Tag, "tag", "", "only this tag")
	c.Flags().StringVar(&o.Policy, "policy", "", "only decisions of this policy")
	c.Flags().IntVar(&o.Limit, "limit", 50, "how many, at most 500")
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	return c
}

func decisionsShow(streams app.Streams) *cobra.Command {
	var o app.ShowOptions
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show one decision with all its findings",
		Example: "  gatekeeper decisions show 42 -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.ID = args[0]
			return app.ShowDecision(c.Context(), o, streams)
		},
	}
	serverFlags(c, &o.Server)
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	return c
}

func audit(streams app.Streams) *cobra.Command {
	var o app.AuditOptions
	c := &cobra.Command{
		Use:   "audit GOLDEN-REPOSITORY…",
		Short: "Prove that every golden tag went through the gate",
		Long: `Compare every tag of golden repositories with the signed summaries that the
gatekeeper left beside the images. Only the registry is asked, and only the keys
of the configuration count.

Exit status: 0 every tag was approved, 1 a tag bypassed the gate or is missing,
2 usage, 3 could not decide.`,
		Example: "  gatekeeper audit --config gatekeeper.yaml golden.example.com/team-a/app\n  gatekeeper audit -o json 127.0.0.1:5051/hello",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Repositories = args
			return app.Audit(c.Context(), o, streams)
		},
	}
	configFlag(c, &o.Config)
	c.Flags().StringVar(&o.Data, "data", "gatekeeper-data", "folder of a service that runs without a configuration")
	c.Flags().BoolVar(&o.AllowMissing, "allow-missing", false, "tags that were approved and are gone do not count: old ones are cleaned up")
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	return c
}

func policyCommands(streams app.Streams) *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Work on policy files", Example: "  gatekeeper policy lint policies/\n  gatekeeper policy test policies/"}
	var output string
	lint := &cobra.Command{
		Use:   "lint PATH…",
		Short: "Check policy files",
		Long: `Check policy files and folders of them: every mistake is named with its file, line
and column, and what to write instead.

Exit status: 0 sound, 1 mistakes found, 2 usage.`,
		Example: "  gatekeeper policy lint policies/\n  gatekeeper policy lint -o json services.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.LintPolicies(c.Context(), args, output, streams)
		},
	}
	lint.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	explain := &cobra.Command{
		Use:     "explain PATH…",
		Short:   "Print what policies say in plain words",
		Long:    "Print what policies ask for and do, in plain words.\n\nExit status: 0, or 2 when a file cannot be read as policies.",
		Example: "  gatekeeper policy explain policies/\n  gatekeeper policy explain -o json services.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.ExplainPolicies(c.Context(), args, output, streams)
		},
	}
	explain.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	schema := &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of policies, for editors",
		Example: "  gatekeeper policy schema > policy.schema.json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return app.PrintPolicySchema(streams) },
	}
	c.AddCommand(lint, policyTestCommand(streams), policyReplayCommand(streams), policyPresetCommand(streams), explain, schema)
	return c
}

func policyPresetCommand(streams app.Streams) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "preset [NAME]",
		Short: "Print a policy to start from",
		Long: `Print a policy to start from, with comments on where its thresholds come from; without
a NAME, list those that there are. What has to be filled in, such as whose signatures
count, is marked.

Exit status: 0, or 2 when there is no such preset.`,
		Example: "  gatekeeper policy preset\n  gatekeeper policy preset strict > policies/services.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return app.PrintPreset(name, output, streams)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func policyTestCommand(streams app.Streams) *cobra.Command {
	var o app.PolicyTestOptions
	c := &cobra.Command{
		Use:   "test [PATH…]",
		Short: "Run the tests of policies",
		Long: `Run the tests that are written beside policies, in files whose names end with
_test.yaml: what a policy makes of evidence, case by case. A PATH is a folder with
policies and tests, or one file of tests; without one it is the current folder.
No service is asked for anything.

Exit status: 0 every case is as expected, 1 some are not, 2 usage, or files with mistakes.`,
		Example: "  gatekeeper policy test policies/\n  gatekeeper policy test --watch policies/services_test.yaml\n  gatekeeper policy test -o junit policies/ > report.xml",
		RunE: func(c *cobra.Command, args []string) error {
			if o.Locations = args; len(args) == 0 {
				o.Locations = []string{"."}
			}
			return app.TestPolicies(c.Context(), o, streams)
		},
	}
	c.Flags().StringVar(&o.Policies, "policies", "", "folder or file of the policies; without it they are beside the tests")
	c.Flags().StringVar(&o.Run, "run", "", "only cases with this in their names")
	c.Flags().BoolVarP(&o.Watch, "watch", "w", false, "run again whenever a file changes")
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text, json or junit")
	return c
}

func policyReplayCommand(streams app.Streams) *cobra.Command {
	var o app.ReplayOptions
	c := &cobra.Command{
		Use:   "replay [PATH…]",
		Short: "Show what policies would have decided about past pushes",
		Long: `Show what policies would have decided about past pushes: each is judged again on the
evidence that was recorded with its last decision, at the moment of that decision. The
policies at PATH, files or folders, take the place of those in force that have the same
name; without a PATH those in force are replayed. The journal is only read, and may be in
use; no registry or scanner is asked. What nobody gathered then is missing.

Exit status: 0 nothing changes, 1 some verdicts would, 2 usage, or what cannot be read.`,
		Example: "  gatekeeper policy replay --config gatekeeper.yaml candidate.yaml\n  gatekeeper policy replay --config gatekeeper.yaml --only --since 720h policies.next/\n  gatekeeper policy replay --config gatekeeper.yaml --as-enforced",
		RunE: func(c *cobra.Command, args []string) error {
			o.Locations = args
			return app.ReplayPolicies(c.Context(), o, streams)
		},
	}
	c.Flags().StringVarP(&o.Config, "config", "c", os.Getenv("GATEKEEPER_CONFIG"), "configuration file [$GATEKEEPER_CONFIG]")
	c.Flags().StringVar(&o.Data, "data", "gatekeeper-data", "folder of a service that runs without a configuration")
	c.Flags().BoolVar(&o.Only, "only", false, "leave out the policies in force that are not at PATH")
	c.Flags().BoolVar(&o.Enforced, "as-enforced", false, "replay policies in audit mode as if they were enforced")
	c.Flags().DurationVar(&o.Since, "since", 90*24*time.Hour, "how far to go back")
	c.Flags().IntVar(&o.Limit, "limit", 10_000, "at most this many pushes, the newest")
	c.Flags().IntVar(&o.Examples, "examples", 3, "pushes to name for each rule")
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	return c
}

func configCommands(streams app.Streams) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Work on configuration files", Example: "  gatekeeper config lint gatekeeper.yaml"}
	var output string
	lint := &cobra.Command{
		Use:     "lint FILE",
		Short:   "Check a configuration file and the policies it names",
		Long:    "Check a configuration file and the policies it names.\n\nExit status: 0 sound, 1 mistakes found, 2 usage.",
		Example: "  gatekeeper config lint /etc/gatekeeper/gatekeeper.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.LintConfig(c.Context(), args[0], output, streams)
		},
	}
	lint.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	schema := &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the configuration file",
		Example: "  gatekeeper config schema > gatekeeper.schema.json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return app.PrintConfigSchema(streams) },
	}
	c.AddCommand(lint, schema)
	return c
}

func databaseCommands(streams app.Streams) *cobra.Command {
	var o app.DatabaseOptions
	c := &cobra.Command{
		Use:     "db",
		Short:   "The vulnerability database, and the tables of the journal",
		Example: "  gatekeeper db update\n  gatekeeper db import vulnerability-db.tar.zst\n  gatekeeper db status\n  gatekeeper db migrate --config gatekeeper.yaml",
	}
	c.PersistentFlags().StringVarP(&o.Config, "config", "c", os.Getenv("GATEKEEPER_CONFIG"), "configuration file [$GATEKEEPER_CONFIG]")
	c.PersistentFlags().StringVar(&o.Data, "data", "gatekeeper-data", "folder of a service that runs without a configuration")
	c.PersistentFlags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	c.AddCommand(
		databaseUpdate(&o, streams),
		databaseImport(&o, streams),
		&cobra.Command{
			Use: "status", Short: "Say which database is installed and how old it is", Args: cobra.NoArgs,
			Example: "  gatekeeper db status -o json",
			RunE:    func(c *cobra.Command, _ []string) error { return app.DatabaseStatus(c.Context(), o, streams) },
		},
		&cobra.Command{
			Use: "migrate", Short: "Bring the tables of the journal up to date, as serve does when it starts", Args: cobra.NoArgs,
			Example: "  gatekeeper db migrate --config gatekeeper.yaml",
			RunE: func(c *cobra.Command, _ []string) error {
				return app.MigrateJournal(c.Context(), app.MigrateOptions{Config: o.Config, Data: o.Data, Output: o.Output}, streams)
			},
		},
	)
	return c
}

func databaseUpdate(o *app.DatabaseOptions, streams app.Streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "update",
		Short:   "Fetch the newest database from the vendor or the configured mirror",
		Example: "  gatekeeper db update --config gatekeeper.yaml\n  gatekeeper db update --every 6h",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return app.UpdateDatabase(c.Context(), *o, streams) },
	}
	c.Flags().DurationVar(&o.Every, "every", 0, "go on updating at this interval; a failure is reported and tried again")
	return c
}

func databaseImport(o *app.DatabaseOptions, streams app.Streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "import FILE",
		Short:   "Install a database from an archive, for machines without a way out",
		Example: "  gatekeeper db import vulnerability-db_v6.tar.zst --sha256 2c26b46b…",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Archive = args[0]
			return app.ImportDatabase(c.Context(), *o, streams)
		},
	}
	c.Flags().StringVar(&o.SHA256, "sha256", "", "refuse the archive unless it has this SHA-256")
	return c
}

func serverFlags(c *cobra.Command, s *app.Server) {
	c.Flags().StringVar(&s.URL, "server", cmp.Or(os.Getenv("GATEKEEPER_SERVER"), "http://127.0.0.1:8080"), "the service's API [$GATEKEEPER_SERVER]")
	c.Flags().StringVar(&s.TokenFile, "token-file", os.Getenv("GATEKEEPER_TOKEN_FILE"), "file with the API's bearer token [$GATEKEEPER_TOKEN_FILE]")
}
