package policyset_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper"
	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/policyset"
)

func TestAChangeComesIntoForceAndJudgesAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world)
		swaps  bool // the set
		judges bool // images of team-a by something else
	}{
		"nothing":                          {func(*world) {}, false, false},
		"a policy changed":                 {func(w *world) { w.write("services.yaml", stricter) }, true, true},
		"a policy came":                    {func(w *world) { w.write("more/infra.yml", strings.Replace(infra, "keys/", "../keys/", 1)) }, true, false},
		"a policy went":                    {func(w *world) { w.remove("services.yaml") }, true, true},
		"a key was rotated":                {func(w *world) { w.write("keys/ci.pub", newKey(t)) }, true, true},
		"a policy moved":                   {func(w *world) { w.remove("services.yaml"); w.write("other.yaml", services) }, false, false},
		"a comment":                        {func(w *world) { w.write("services.yaml", "# about services\n"+services) }, false, false},
		"a file that is no policy":         {func(w *world) { w.write("README.md", "x"); w.write(".hidden.yaml", "x") }, false, false},
		"a trust root nobody names":        {func(w *world) { w.roots["acme"] = "two" }, false, false},
		"the same, another time":           {func(w *world) { w.write("services.yaml", services) }, false, false},
		"a policy that names a trust root": {func(w *world) { w.write("services.yaml", inLog) }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.open()
			before := w.inForce()
			if len(w.rejudged) != 1 || len(before) != 1 {
				t.Fatalf("at the start: judged again %d times by %d policies", len(w.rejudged), len(before))
			}
			tt.change(w)
			w.look()
			w.look()
			if swapped := !slices.Equal(before, w.inForce()); swapped != tt.swaps || swapped && !slices.Equal(w.followed, w.inForce()) {
				t.Errorf("in force is %v, was %v; followed %v", w.inForce(), before, w.followed)
			}
			if again := len(w.rejudged) > 1; again != tt.swaps || len(w.rejudged) > 2 {
				t.Errorf("judged again: %v", w.rejudged)
			}
			if by := w.rejudged[len(w.rejudged)-1]; (by != w.rejudged[0]) != tt.judges || by == "" ||
				by != gatekeeper.JudgedBy(w.set.InForce(), "staging", "team-a/app", "v1", w.now, func(string) (string, error) { return "one", nil }) {
				t.Errorf("judged by %v", w.rejudged)
			}
			if w.failed || w.logged("ERROR") > 0 {
				t.Errorf("failed: %v, %s", w.failed, w.log.String())
			}
		})
	}
}

func TestAMistakeLeavesThePoliciesInForce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world)
		says   string
	}{
		"a file that is half written":     {func(w *world) { w.write("services.yaml", services[:len(services)/2]) }, "services.yaml:"},
		"an empty file":                   {func(w *world) { w.write("services.yaml", "") }, "holds no policy"},
		"an unknown key":                  {func(w *world) { w.write("services.yaml", strings.Replace(services, "wait", "wiat", 1)) }, "services.yaml:7"},
		"a key file that is not there":    {func(w *world) { w.remove("keys/ci.pub") }, "ci.pub"},
		"a key file that is half written": {func(w *world) { w.write("keys/ci.pub", newKey(t)[:60]) }, "no PEM block"},
		"a registry that is not there":    {func(w *world) { w.write("services.yaml", strings.Replace(services, "to: golden", "to: gold", 1)) }, "no registry gold"},
		"a mistake beside a sound policy": {func(w *world) { w.write("a.yaml", infra); w.write("z.yaml", "{") }, "z.yaml"},
		"a name twice":                    {func(w *world) { w.write("z.yaml", services) }, "also the name"},
		"a folder that is gone":           {func(w *world) { _ = os.Rename(w.dir, w.dir+".gone") }, "no such file"},
		"a link to nothing":               {func(w *world) { _ = os.Symlink("absent", filepath.Join(w.dir, "z.yaml")) }, "z.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.open()
			before := w.state()
			tt.change(w)
			for range 3 {
				w.look()
			}
			w.wantUnchanged(before)
			if w.logged("ERROR") != 1 || !strings.Contains(w.log.String(), tt.says) || !strings.Contains(w.log.String(), "policy lint") {
				t.Errorf("the log has %s", w.log.String())
			}
			if err := w.watcher.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), tt.says) || !w.failed {
				t.Errorf("%v, failed %v", err, w.failed)
			}
			// Another mistake is told; what mends it counts.
			_ = os.Rename(w.dir+".gone", w.dir)
			w.write("z.yaml", "kind: Other")
			w.look()
			if w.logged("ERROR") != 2 {
				t.Errorf("the log has %s", w.log.String())
			}
			_ = os.Remove(filepath.Join(w.dir, "a.yaml"))
			w.write("z.yaml", infra)
			w.write("keys/ci.pub", newKey(t))
			w.write("services.yaml", services)
			w.look()
			if err := w.watcher.Ready(t.Context()); err != nil || w.failed || len(w.inForce()) != 2 || len(w.rejudged) != 2 {
				t.Errorf("%v, failed %v, %d in force, %v", err, w.failed, len(w.inForce()), w.rejudged)
			}
		})
	}
}

// A mistake that is taken back changes nothing, and is over.
func TestAMistakeThatIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.open()
	before := w.state()
	w.write("services.yaml", "{")
	w.look()
	if !w.failed {
		t.Error("it was not noticed")
	}
	w.write("services.yaml", services)
	w.look()
	w.wantUnchanged(before)
	if err := w.watcher.Ready(t.Context()); err != nil || w.failed || !strings.Contains(w.log.String(), "can be read again") {
		t.Errorf("%v, failed %v: %s", err, w.failed, w.log.String())
	}
}

// A file that is written bit by bit can look like a policy on the way.
func TestWhatIsBeingWrittenDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("services.yaml", services+"---\n"+infra)
	w.open()
	before := w.state()
	for _, text := range []string{services, services + "---\n" + infra[:40], services + "---\n" + infra, services} {
		w.write("services.yaml", text)
		w.watcher.Check(t.Context())
		w.wantUnchanged(before)
	}
	w.look()
	if len(w.inForce()) != 1 || w.logged("ERROR") > 0 {
		t.Errorf("%d in force: %s", len(w.inForce()), w.log.String())
	}
	// What was seen once, long ago, has to be seen twice all the same.
	w.write("services.yaml", stricter)
	before = w.state()
	w.watcher.Check(t.Context())
	w.write("services.yaml", services)
	w.look()
	w.write("services.yaml", stricter)
	if settled := w.watcher.Check(t.Context()); settled {
		t.Error("it counts at the first look")
	}
	w.wantUnchanged(before)
}

// mount puts a version of the files in place as Kubernetes does: in a folder of
// its own, to which the link ..data is moved at once.
func (w *world) mount(version string, files map[string]string) {
	w.t.Helper()
	for name, text := range files {
		w.write(filepath.Join(".."+version, name), text)
	}
	data := filepath.Join(w.dir, "..data")
	if err := errors.Join(os.Symlink(".."+version, data+"_tmp"), os.Rename(data+"_tmp", data)); err != nil {
		w.t.Fatal(err)
	}
	for name := range files {
		first, _, _ := strings.Cut(name, "/")
		if err := os.Symlink(filepath.Join("..data", first), filepath.Join(w.dir, first)); err != nil && !os.IsExist(err) {
			w.t.Fatal(err)
		}
	}
}

func TestAConfigMapIsFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dir = t.TempDir()
	key, next := newKey(t), newKey(t)
	w.mount("one", map[string]string{"services.yaml": services, "keys/ci.pub": key})
	w.open()
	if len(w.inForce()) != 1 {
		t.Fatalf("%v", w.inForce())
	}
	seen := map[string]bool{w.inForce()[0]: true}
	for i, files := range []map[string]string{
		{"services.yaml": stricter, "keys/ci.pub": key},
		{"services.yaml": stricter, "keys/ci.pub": next},
		{"services.yaml": services, "keys/ci.pub": next, "infra.yaml": infra},
	} {
		w.mount("version"+string(rune('a'+i)), files)
		w.look()
		if now := w.inForce()[len(w.inForce())-1]; seen[now] {
			t.Errorf("%v: not in force", files)
		}
		seen[w.inForce()[len(w.inForce())-1]] = true
	}
	if len(w.inForce()) != 2 || w.logged("ERROR") > 0 {
		t.Errorf("%d in force: %s", len(w.inForce()), w.log.String())
	}
}

func TestAnEmptyFolderPromotesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.open()
	w.remove("services.yaml")
	w.look()
	if len(w.inForce()) > 0 || w.logged("WARN") != 1 || w.failed {
		t.Errorf("%d in force, failed %v: %s", len(w.inForce()), w.failed, w.log.String())
	}
	if err := w.watcher.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing is promoted") {
		t.Errorf("%v", err)
	}
}

func TestAKeyServiceIsAskedWhenFilesChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("services.yaml", inVault)
	w.open()
	for range 5 {
		w.now = w.now.Add(time.Hour)
		w.look()
	}
	if w.asked != 1 {
		t.Errorf("asked %d times for nothing", w.asked)
	}
	sealed, sound := errors.New("vault is sealed"), w.kms
	w.kms = func() (string, error) { return "", sealed }
	w.write("infra.yaml", infra)
	before := w.state()
	w.look()
	w.now = w.now.Add(30 * time.Second)
	w.look()
	w.wantUnchanged(before)
	if w.asked != 2 || !w.failed {
		t.Errorf("asked %d times, failed %v", w.asked, w.failed)
	}
	w.now = w.now.Add(time.Minute)
	w.look()
	if w.asked != 3 || w.logged("ERROR") != 1 {
		t.Errorf("asked %d times: %s", w.asked, w.log.String())
	}
	w.kms = sound
	w.now = w.now.Add(time.Minute)
	w.look()
	if w.failed || len(w.inForce()) != 2 {
		t.Errorf("failed %v, %d in force: it was not asked again", w.failed, len(w.inForce()))
	}
}

func TestTrustRootsAreFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("services.yaml", inLog)
	w.open()
	w.roots["acme"] = "two"
	w.look()
	if len(w.rejudged) != 2 || w.rejudged[0] == w.rejudged[1] {
		t.Errorf("judged again by %v", w.rejudged)
	}
	delete(w.roots, "acme")
	for range 3 {
		w.look()
	}
	if len(w.rejudged) != 3 || w.rejudged[2] != "" {
		t.Errorf("nobody knows what it is judged by: %v", w.rejudged)
	}
	if err := w.watcher.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "trust root acme") || !w.failed || w.logged("ERROR") != 1 {
		t.Errorf("%v, failed %v: %s", err, w.failed, w.log.String())
	}
	w.roots["acme"] = "two"
	w.look()
	if err := w.watcher.Ready(t.Context()); err != nil || w.failed || len(w.rejudged) != 4 || w.rejudged[3] != w.rejudged[1] {
		t.Errorf("%v, failed %v, %v", err, w.failed, w.rejudged)
	}
}

// A process that is gone may have judged by other policies until it stopped.
func TestPushesAreComparedAgainWhenAProcessIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.open()
	w.look()
	for _, step := range []struct{ alive, want int }{{1, 1}, {2, 1}, {2, 1}, {1, 2}, {1, 2}, {3, 2}, {2, 3}} {
		w.watcher.Replicas(step.alive)
		w.look()
		if len(w.rejudged) != step.want {
			t.Errorf("%d processes: compared %d times, want %d", step.alive, len(w.rejudged), step.want)
		}
	}
}

func TestWakingIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rejudging = errors.New("the journal is away")
	w.open()
	w.look()
	if len(w.rejudged) > 0 || !strings.Contains(w.log.String(), "the journal is away") {
		t.Errorf("%v: %s", w.rejudged, w.log.String())
	}
	w.rejudging = nil
	w.look()
	w.look()
	if len(w.rejudged) != 1 || !strings.Contains(w.log.String(), "woken=7") {
		t.Errorf("%v: %s", w.rejudged, w.log.String())
	}
}

func TestOpenRefusesMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("services.yaml", "{")
	for _, location := range []string{w.dir, filepath.Join(w.dir, "services.yaml"), filepath.Join(w.dir, "absent")} {
		if set, err := policyset.Open(t.Context(), policyset.Source{Location: location}); err == nil || set != nil {
			t.Errorf("%s: %v", location, err)
		}
	}
}

// The files are looked at every ten seconds, and what changed has two seconds
// to be complete; a signal is answered at once, and asks for keys again.
func TestRunLooksEverySoOften(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("services.yaml", inVault)
	w.open()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		reload, done := make(chan os.Signal), make(chan struct{})
		go func() {
			defer close(done)
			w.watcher.Run(ctx, reload)
		}()
		wait := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		wait(time.Second)
		w.write("infra.yaml", infra)
		wait(10 * time.Second) // seen a second ago
		if n := len(w.inForce()); n != 1 {
			t.Errorf("%d in force after the first look", n)
		}
		wait(time.Second)
		if n := len(w.inForce()); n != 2 || w.asked != 2 {
			t.Errorf("%d in force after the second look, asked %d times", n, w.asked)
		}
		w.remove("infra.yaml")
		next := newKey(t)
		w.kms = func() (string, error) { return next, nil }
		reload <- os.Interrupt
		synctest.Wait()
		if n := len(w.inForce()); n != 1 || w.asked != 3 {
			t.Errorf("%d in force after the signal, asked %d times", n, w.asked)
		}
		before := w.inForce()
		w.kms = func() (string, error) { return newKey(t), nil }
		reload <- os.Interrupt
		synctest.Wait()
		if slices.Equal(before, w.inForce()) {
			t.Error("a signal does not ask for keys again")
		}
		stop()
		<-done
	})
}

// Judgements read the policies while they change.
func TestReadingWhilePoliciesChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.open()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if len(w.set.Compiled()) != 1 || len(w.set.Policies()) != 1 || w.watcher.Ready(t.Context()) != nil {
				t.Error("there was a moment without policies")
				return
			}
		}
	}()
	for i := range 20 {
		w.write("services.yaml", []string{stricter, services}[i%2])
		w.look()
	}
	close(stop)
	<-done
}
