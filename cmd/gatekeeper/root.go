package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/app"
)

// root assembles the commands. Trouble with flags and arguments exits with
// status 2, whatever the command.
func root() *cobra.Command {
	streams := app.Streams{Out: os.Stdout, Err: os.Stderr}
	c := &cobra.Command{
		Use:   "gatekeeper",
		Short: "Decide which container images may be called golden",
		Long: `Gatekeeper watches a staging registry. For exactly the digest that was pushed it
gathers evidence (signatures, attestations, a vulnerability scan, patch level),
asks a policy, and only on a yes copies the image to a golden repository.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       app.Version(),
	}
	c.AddCommand(testCommands(streams)...)
	c.AddCommand(
		serve(streams), demo(streams), check(streams), audit(streams), explain(streams), decisions(streams),
		policyCommands(streams), configCommands(streams), databaseCommands(streams), version(streams),
	)
	return c
}

func serve(streams app.Streams) *cobra.Command {
	var o app.ServeOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: `Run the service. Without a configuration everything is embedded: a staging registry
on 127.0.0.1:5050, a golden registry on 127.0.0.1:5051, webhooks, API and pages on
127.0.0.1:8080, data below ./gatekeeper-data with a generated cosign key pair and
a starter policy.

Policies are followed: a change of their files, of the keys that they name or of
trust roots counts within seconds, and images are judged again. With a
configuration, SIGHUP has them read again at once. Everything else in the
configuration is read at the start.`,
		Example: "  gatekeeper serve\n  gatekeeper serve --config /etc/gatekeeper/gatekeeper.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// Without a configuration the service ends with its terminal.
			if o.Config != "" {
				reload := make(chan os.Signal, 1)
				signal.Notify(reload, syscall.SIGHUP)
				defer signal.Stop(reload)
				o.Reload = reload
			}
			return app.Serve(c.Context(), o, streams)
		},
	}
	configFlag(c, &o.Config)
	c.Flags().StringVar(&o.Data, "data", "gatekeeper-data", "folder for data and keys; only without a configuration")
	c.Flags().StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringVar(&o.LogFormat, "log-format", "text", "text or json")
	return c
}

func demo(streams app.Streams) *cobra.Command {
	var o app.DemoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Push sample images through the embedded setup and show each decision",
		Long: `Start everything embedded, push sample images the way a client does, and show each
decision as it arrives. The vulnerability database is a small sample: real
advisories, far too few to judge real images.`,
		Example: "  gatekeeper demo\n  gatekeeper demo --once",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return app.Demo(c.Context(), o, streams) },
	}
	c.Flags().BoolVar(&o.Once, "once", false, "exit when every sample is decided: 0 when all verdicts are as expected, else 1")
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	c.Flags().StringVar(&o.RegistryBinary, "registry-binary", "", "run staging and golden with this Distribution registry binary instead of in process")
	return c
}

func check(streams app.Streams) *cobra.Command {
	var o app.CheckOptions
	c := &cobra.Command{
		Use:   "check IMAGE",
		Short: "Ask for the same judgement without promoting anything",
		Long: `Judge an image of a configured registry as if it were pushed now. Nothing is
recorded or promoted.

Exit status: 0 would be promoted, 1 rejected, 2 usage, 3 could not decide,
4 pending (evidence is missing).`,
		Example: "  gatekeeper check --config gatekeeper.yaml registry.example.com/team-a/app:v1.2.3\n  gatekeeper check -o json 127.0.0.1:5050/app:v1",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Image = args[0]
			return app.Check(c.Context(), o, streams)
		},
	}
	configFlag(c, &o.Config)
	c.Flags().StringVar(&o.Data, "data", "gatekeeper-data", "folder of a service that runs without a configuration")
	c.Flags().StringVarP(&o.Output, "output", "o", "text", "text or json")
	return c
}

func version(streams app.Streams) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  gatekeeper version -o json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return app.PrintVersion(output, streams) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func configFlag(c *cobra.Command, value *string) {
	c.Flags().StringVarP(value, "config", "c", os.Getenv("GATEKEEPER_CONFIG"), fmt.Sprintf("configuration file [$%s]", "GATEKEEPER_CONFIG"))
}
