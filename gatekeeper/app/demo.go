package app

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/cosignkey"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/scan/sampledb"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/report"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/web/client"
	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// DemoOptions are the flags of demo.
type DemoOptions struct {
	Once           bool
	Output         string
	RegistryBinary string // run the registries with it instead of in process
}

//go:embed demo.yaml
var demoPolicies string

// The patience of the demonstration.
const (
	sampleTimeout = 2 * time.Minute
	samplePoll    = 50 * time.Millisecond
	// wakeLimit is how soon after its signature a waiting push is golden.
	wakeLimit = time.Second
)

// Demo pushes sample images through the embedded setup and shows each
// decision.
func Demo(ctx context.Context, o DemoOptions, streams Streams) (err error) {
	if err := checkOutput(o.Output); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gatekeeper-demo-")
	if err != nil {
		return status(StatusUndecided, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demonstration{options: o, dir: dir, out: streams.Out, progress: streams.Err}
	if err := d.prepare(time.Now()); err != nil {
		return status(StatusUndecided, fmt.Errorf("prepare the demonstration: %w", err))
	}
	log := slog.New(slog.NewTextHandler(streams.Err, &slog.HandlerOptions{Level: slog.LevelError}))
	d.machine, err = startOneMachine(ctx, machineOptions{
		dir: dir, staging: "127.0.0.1:0", golden: "127.0.0.1:0", admin: "127.0.0.1:0", registryBinary: o.RegistryBinary, log: log,
	})
	if err != nil {
		return status(StatusUndecided, err)
	}
	return d.run(ctx)
}

type demonstration struct {
	options  DemoOptions
	dir      string
	out      io.Writer
	progress io.Writer
	machine  *machine
	pusher   *pusher
	client   *client.Client
	others   sync.WaitGroup // the samples that are not signed late

	mu sync.Mutex // of out
}

// prepare writes the policies, the sample database and the keys.
func (d *demonstration) prepare(now time.Time) error {
	policies := filepath.Join(d.dir, policiesDir)
	if err := os.MkdirAll(policies, 0o750); err != nil {
		return err
	}
	text := strings.NewReplacer("{{EXPIRES}}", now.AddDate(0, 2, 0).Format(time.DateOnly), "{{EXCEPTED}}", excepted).Replace(demoPolicies)
	if err := os.WriteFile(filepath.Join(policies, "demo.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := sampledb.Write(filepath.Join(d.dir, databaseDir)); err != nil {
		return err
	}
	return prepareData(d.dir)
}

// run shows the samples and, unless it is to end then, stays up.
func (d *demonstration) run(ctx context.Context) error {
	if err := d.connect(); err != nil {
		return errors.Join(status(StatusUndecided, err), d.machine.stop(ctx))
	}
	rows, err := d.show(ctx)
	if err != nil || d.options.Once || ctx.Err() != nil {
		return errors.Join(d.outcome(rows, err), d.machine.stop(ctx))
	}
	if _, err := fmt.Fprint(d.out, d.invitation()); err != nil {
		return errors.Join(err, d.machine.stop(ctx))
	}
	if err := d.machine.wait(ctx); err != nil {
		return status(StatusUndecided, err)
	}
	return d.outcome(rows, nil)
}

func (d *demonstration) connect() (err error) {
	if d.client, err = client.New(d.machine.url(), ""); err != nil {
		return err
	}
	d.pusher, err = newPusher(d.dir, d.machine.staging.Addr())
	return err
}

func (d *demonstration) outcome(rows []row, err error) error {
	if err != nil {
		return status(StatusRejected, err)
	}
	missed := 0
	for _, r := range rows {
		if !r.Expected {
			missed++
		}
	}
	if missed > 0 {
		return status(StatusRejected, fmt.Errorf("%d of %d samples did not get the verdict that they must get", missed, len(rows)))
	}
	return nil
}

// row is what became of a sample.
type row struct {
	Image     string         `json:"image"`
	About     string         `json:"about"`
	Verdict   policy.Verdict `json:"verdict"`
	Wanted    policy.Verdict `json:"wanted"`
	Expected  bool           `json:"expected"` // the verdict is the wanted one, for the right reason
	Reason    string         `json:"reason"`
	TookMilli int64          `json:"tookMilliseconds"`
	Decision  int64          `json:"decision,omitempty"`
	Problem   string         `json:"problem,omitempty"` // why it is not as expected
}

// show pushes every sample and prints what becomes of them, in the order in
// which the decisions arrive.
func (d *demonstration) show(ctx context.Context) ([]row, error) {
	all := samples(time.Now())
	if d.options.Output == outputText {
		d.print(fmt.Sprintf("Pushing %d sample images to %s. Policies: %s\n\n", len(all), d.machine.staging.Addr(), filepath.Join(d.dir, policiesDir, "demo.yaml")))
		d.print(fmt.Sprintf(tableFormat, "IMAGE", "WHAT IT IS", "VERDICT", "TOOK", "REASON"))
	}
	rows := make([]row, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		if s.signing != signedLate {
			d.others.Add(1)
		}
		wg.Go(func() {
			rows[i] = d.take(ctx, s)
			if s.signing != signedLate {
				d.others.Done()
			}
			if d.options.Output == outputText {
				d.print(rows[i].String())
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return rows, errors.New("interrupted")
	}
	if d.options.Output == outputJSON {
		return rows, printJSON(d.out, map[string]any{"samples": rows})
	}
	return rows, nil
}

const tableFormat = "%-24s %-42s %-11s %8s  %s\n"

// String is the row as a line of the table.
func (r row) String() string {
	line := fmt.Sprintf(tableFormat, r.Image, r.About, r.Verdict, report.Took(time.Duration(r.TookMilli)*time.Millisecond), clip(r.Reason))
	if !r.Expected {
		line += fmt.Sprintf("%-24s NOT AS EXPECTED (%s): %s\n", "", r.Wanted, r.Problem)
	}
	return line
}

// clip shortens a reason to what fits beside the rest of a row.
func clip(reason string) string {
	const width = 100
	if runes := []rune(reason); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return reason
}

func (d *demonstration) print(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = io.WriteString(d.out, text) // a closed terminal does not change the outcome
}

// take takes one sample through the gate.
func (d *demonstration) take(ctx context.Context, s sample) row {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	r := row{Image: s.repository() + ":" + sampleTag, About: s.about, Wanted: s.want}
	decision, err := d.decide(ctx, s)
	if err == nil {
		err = s.check(decision)
	}
	r.Verdict, r.Reason, r.TookMilli, r.Decision = decision.Verdict, report.Reason(decision), decision.Took.Milliseconds(), decision.ID
	if r.Expected = err == nil; !r.Expected {
		r.Problem = err.Error()
	}
	return r
}

// check compares a decision with what the sample must get.
func (s sample) check(d gatekeeper.Decision) error {
	if d.Verdict != s.want {
		return fmt.Errorf("the verdict is %s", d.Verdict)
	}
	if s.reason == "" {
		return nil
	}
	for _, f := range d.AllFindings() {
		if f.Reason == s.reason {
			return nil
		}
	}
	return fmt.Errorf("no finding says %s", s.reason)
}

func (d *demonstration) decide(ctx context.Context, s sample) (gatekeeper.Decision, error) {
	digest, err := d.pusher.push(ctx, s)
	if err != nil {
		return gatekeeper.Decision{}, err
	}
	final := func(x gatekeeper.Decision) bool {
		return x.Verdict == policy.VerdictPromoted && len(x.Golden) > 0 || x.Verdict == policy.VerdictRejected || x.Verdict == policy.VerdictSuperseded
	}
	if s.signing == signedLate {
		return d.decideLate(ctx, s, digest, final)
	}
	decision, err := d.await(ctx, s, digest, final)
	if err != nil {
		return decision, err
	}
	return decision, d.checkGolden(ctx, s, digest, decision)
}

// decideLate waits until the push is pending and the others are done, signs,
// and sees how soon the push is golden.
func (d *demonstration) decideLate(ctx context.Context, s sample, digest name.Digest, final func(gatekeeper.Decision) bool) (gatekeeper.Decision, error) {
	pending := func(x gatekeeper.Decision) bool { return x.Verdict == policy.VerdictPending }
	if decision, err := d.await(ctx, s, digest, pending); err != nil {
		return decision, err
	}
	d.others.Wait()
	if err := cosignkey.Sign(ctx, digest, d.pusher.own, remote.WithContext(ctx)); err != nil {
		return gatekeeper.Decision{}, err
	}
	signed := time.Now()
	decision, err := d.await(ctx, s, digest, final)
	if err != nil || len(decision.Golden) == 0 {
		return decision, err
	}
	waited := decision.Golden[0].At.Sub(signed)
	decision.Took, decision.Note = waited, fmt.Sprintf("pending until signed, golden %s later", report.Took(waited))
	if waited > wakeLimit {
		return decision, fmt.Errorf("golden only %s after its signature", waited)
	}
	return decision, d.checkGolden(ctx, s, digest, decision)
}

// await asks the API for the newest decision until it is the awaited one.
func (d *demonstration) await(ctx context.Context, s sample, digest name.Digest, done func(gatekeeper.Decision) bool) (gatekeeper.Decision, error) {
	tick := time.NewTicker(samplePoll)
	defer tick.Stop()
	var last gatekeeper.Decision
	for {
		list, err := d.client.Decisions(ctx, gatekeeper.DecisionQuery{Repository: s.repository(), Tag: sampleTag, Digest: digest.DigestStr(), Limit: 1})
		if err != nil && ctx.Err() == nil {
			return last, err
		}
		if len(list) > 0 {
			if last = list[0]; done(last) {
				return last, nil
			}
		}
		select {
		case <-ctx.Done():
			return last, errors.New("the awaited decision did not come in time")
		case <-tick.C:
		}
	}
}

// checkGolden makes sure that the golden tag is where the decision says, and
// that what was refused is not there.
func (d *demonstration) checkGolden(ctx context.Context, s sample, digest name.Digest, decision gatekeeper.Decision) error {
	tag, err := name.NewTag(d.machine.golden.Addr() + "/" + s.repository() + ":" + sampleTag)
	if err != nil {
		return err
	}
	found, err := remote.Head(tag, remote.WithContext(ctx))
	switch golden := decision.Verdict == policy.VerdictPromoted; {
	case golden && err != nil:
		return fmt.Errorf("the golden tag cannot be read: %w", err)
	case golden && found.Digest.String() != digest.DigestStr():
		return fmt.Errorf("the golden tag points to %s", found.Digest)
	case !golden && err == nil:
		return fmt.Errorf("it is in golden: %s", found.Digest)
	}
	return nil
}

// invitation says what to look at and how to push an image of one's own.
func (d *demonstration) invitation() string {
	return fmt.Sprintf(`
Look at the decisions:      %[1]s
Metrics:                    %[1]s/metrics
Vulnerability database:     a small sample of real advisories, marked as such

Push an image of your own below mine/ and sign it within ten minutes:

%[2]s
Verify the signed summary of its approval:

%[4]s
Ctrl-C ends the demonstration and removes %[3]s.
`, d.machine.url(), d.machine.instructions("mine/hello"), d.dir, d.machine.summaryCommand("mine/hello"))
}
