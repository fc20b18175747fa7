package policy_test

import (
	"math"
	"math/rand"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// decision is a named case of the tables below.
type decision struct {
	name  string
	rules string
	edit  edit
	after time.Duration // since the push
	want  policy.Verdict
	check policy.Check // of the first finding
	says  string       // in the first finding
}

// judge runs the cases, each on its own evidence.
func judge(t *testing.T, k keys, good func() *policy.Evidence, cases []decision) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev := good()
			if tt.edit != nil {
				tt.edit(k, ev)
			}
			got := policy.Evaluate(k.compile(t, tt.rules), ev, received().Add(tt.after))
			if got.Verdict != tt.want {
				t.Fatalf("%s, want %s: %+v", got.Verdict, tt.want, got.Findings)
			}
			if tt.check == "" {
				return
			}
			if len(got.Findings) == 0 {
				t.Fatal("no finding")
			}
			if f := got.Findings[0]; f.Check != tt.check || !strings.Contains(f.Found, tt.says) {
				t.Errorf("the first finding is %+v, want one of %s that says %q", f, tt.check, tt.says)
			}
			for _, f := range got.Findings {
				if f.Found == "" || f.Expected == "" || f.Remedy == "" {
					t.Errorf("a finding lacks words: %+v", f)
				}
			}
		})
	}
}

// configured is good evidence of an image that was looked at.
func configured(k keys) *policy.Evidence {
	ev := k.good()
	p := platform(ev)
	p.Secrets = &policy.SecretSearch{Found: []policy.Secret{}}
	p.Layers = []policy.Layer{{Size: 1 << 30}, {Size: 1 << 30}}
	p.Config.Entrypoint, p.Config.Cmd = []string{"/app/server"}, []string{"--port=8080"}
	p.Config.Env, p.Config.ExposedPorts = []string{"PATH=/bin", "TZ=UTC"}, []string{"8080/tcp", "9090", "53/udp"}
	return ev
}

func configIs(change func(c *policy.Config)) edit {
	return func(_ keys, ev *policy.Evidence) { change(&platform(ev).Config) }
}

func userName(user string) edit { return configIs(func(c *policy.Config) { c.User = user }) }

func ports(exposed ...string) edit {
	return configIs(func(c *policy.Config) { c.ExposedPorts = exposed })
}

func env(entries ...string) edit { return configIs(func(c *policy.Config) { c.Env = entries }) }

func starts(entrypoint, cmd []string) edit {
	return configIs(func(c *policy.Config) { c.Entrypoint, c.Cmd = entrypoint, cmd })
}

func searched(s *policy.SecretSearch) edit {
	return func(_ keys, ev *policy.Evidence) { platform(ev).Secrets = s }
}

func layers(sizes ...int64) edit {
	return func(_ keys, ev *policy.Evidence) {
		platform(ev).Layers = nil
		for _, size := range sizes {
			platform(ev).Layers = append(platform(ev).Layers, policy.Layer{Size: size})
		}
	}
}

// The rules that the table uses.
const (
	anyUser   = "image: {user: non-root}\n"
	uid       = "image: {user: non-root-uid}\n"
	someUsers = `image: {user: [app, "65532:65532", "1000"]}` + "\n"
	somePorts = `image: {ports: {allow: ["8080/tcp", "9090", "53/udp"]}}` + "\n"
	noPorts   = "image: {ports: {allow: []}}\n"
	highPorts = "image: {ports: {denyPrivileged: true}}\n"
	starting  = "image: {entrypoint: required}\n"
	programs  = `image: {entrypoint: ["/app/**", /usr/bin/tini, "!/app/debug"]}` + "\n"
	noEnv     = `image: {env: {deny: ["*_PASSWORD", "LD_PRELOAD=*", "http_proxy"]}}` + "\n"
	timeZone  = `image: {env: {require: ["TZ=UTC", PATH]}}` + "\n"
	noSecrets = "image: {secrets: deny}\n"
	fewLayers = "image: {maxLayers: 2}\n"
	small     = "image: {maxSize: 2GiB}\n"
)

func TestDecisionsAboutTheConfiguration(t *testing.T) {
	t.Parallel()
	const yes, no, unknown = policy.VerdictPromoted, policy.VerdictRejected, policy.VerdictError
	const check = policy.CheckConfiguration
	k := newKeys(t)
	leak := policy.Secret{Where: "env DEMO_TOKEN", Kind: "github-token"}
	judge(t, k, func() *policy.Evidence { return configured(k) }, []decision{
		{"a number", anyUser, nil, 0, yes, "", ""},
		{"a number with a group", anyUser, userName("65532:65532"), 0, yes, "", ""},
		{"a number with root's group", anyUser, userName("1001:0"), 0, yes, "", ""},
		{"a name", anyUser, userName("app:app"), 0, yes, "", ""},
		{"no user", anyUser, userName(""), 0, no, check, "no user is set"},
		{"a group alone", anyUser, userName(":app"), 0, no, check, ""},
		{"root", anyUser, userName("root"), 0, no, check, `runs as "root"`},
		{"root and its group", anyUser, userName("root:root"), 0, no, check, ""},
		{"root and another group", anyUser, userName("root:app"), 0, no, check, ""},
		{"root by number", anyUser, userName("0"), 0, no, check, ""},
		{"root by number and group", anyUser, userName("0:0"), 0, no, check, ""},
		{"root by number and another group", anyUser, userName("0:65532"), 0, no, check, ""},
		{"plus zero", anyUser, userName("+0"), 0, no, check, ""},
		{"minus zero", anyUser, userName("-0"), 0, no, check, ""},
		{"zeros", anyUser, userName("0000"), 0, no, check, ""},
		{"zero in hexadecimal", anyUser, userName("0x0"), 0, no, check, ""},
		{"root with a space", anyUser, userName(" root"), 0, no, check, ""},
		{"root in capitals", anyUser, userName("ROOT"), 0, no, check, ""},
		{"the largest number", anyUser, userName("2147483647"), 0, yes, "", ""},
		{"one that wraps around", anyUser, userName("4294967296"), 0, no, check, ""},
		{"a negative number", anyUser, userName("-1"), 0, no, check, ""},
		{"Windows' administrator", anyUser, func(_ keys, ev *policy.Evidence) {
			platform(ev).OS, platform(ev).Config.User = "windows", "containeradministrator"
		}, 0, no, check, ""},
		{"a number where one is asked for", uid, nil, 0, yes, "", ""},
		{"a name where a number is asked for", uid, userName("app"), 0, no, check, ""},
		{"zero where a number is asked for", uid, userName("0"), 0, no, check, ""},
		{"a user on the list", someUsers, userName("app"), 0, yes, "", ""},
		{"a user on the list with a group", someUsers, userName("app:app"), 0, yes, "", ""},
		{"a user and group on the list", someUsers, userName("65532:65532"), 0, yes, "", ""},
		{"the user with another group", someUsers, userName("65532:0"), 0, no, check, ""},
		{"a user who is not on the list", someUsers, userName("apps"), 0, no, check, "apps"},
		{"no user where there is a list", someUsers, userName(""), 0, no, check, ""},
		{"every platform has a user", anyUser, secondPlatform(func(p *policy.Platform) { p.Config.User = "" }), 0, no, check, ""},

		{"ports on the list", somePorts, nil, 0, yes, "", ""},
		{"the same written otherwise", somePorts, ports("8080", "9090/tcp"), 0, yes, "", ""},
		{"another port", somePorts, ports("8081/tcp"), 0, no, check, "8081"},
		{"another protocol", somePorts, ports("8080/udp"), 0, no, check, "8080/udp"},
		{"what is no port", somePorts, ports("http"), 0, no, check, "no port"},
		{"a port that is none", somePorts, ports("65536/tcp"), 0, no, check, "no port"},
		{"port zero", highPorts, ports("0"), 0, no, check, "no port"},
		{"no port where there is a list", somePorts, ports(), 0, yes, "", ""},
		{"no port where none may be", noPorts, ports(), 0, yes, "", ""},
		{"a port where none may be", noPorts, ports("8080/tcp"), 0, no, check, "8080"},
		{"the last privileged port", highPorts, ports("1023/tcp"), 0, no, check, "1023"},
		{"the first that is none", highPorts, ports("1024/tcp"), 0, yes, "", ""},

		{"an entry point", starting, nil, 0, yes, "", ""},
		{"no entry point", starting, starts(nil, []string{"/app/server"}), 0, no, check, "no entry point"},
		{"an empty one", starting, starts([]string{""}, nil), 0, no, check, ""},
		{"a program on the list", programs, nil, 0, yes, "", ""},
		{"a command on the list", programs, starts(nil, []string{"/app/server"}), 0, yes, "", ""},
		{"the entry point counts, not the command", programs, starts([]string{"/bin/sh", "-c"}, []string{"/app/server"}), 0, no, check, "/bin/sh"},
		{"one that is left out", programs, starts([]string{"/app/debug"}, nil), 0, no, check, ""},
		{"one that leads elsewhere", programs, starts([]string{"/app/../bin/sh"}, nil), 0, no, check, "plainly"},
		{"no program", programs, starts(nil, nil), 0, no, check, "no program"},

		{"variables that may be set", noEnv, nil, 0, yes, "", ""},
		{"a name that is denied", noEnv, env("DB_PASSWORD=x"), 0, no, check, "sets the variable DB_PASSWORD"},
		{"without a value", noEnv, env("DB_PASSWORD"), 0, no, check, ""},
		{"a name that begins like it", noEnv, env("DB_PASSWORD_FILE=/x"), 0, yes, "", ""},
		{"a name in other letters", noEnv, env("db_password=x", "HTTP_PROXY=x"), 0, yes, "", ""},
		{"a value that is denied", noEnv, env("LD_PRELOAD=/lib/x.so"), 0, no, check, "LD_PRELOAD"},
		{"variables that have to be set", timeZone, nil, 0, yes, "", ""},
		{"one is not set", timeZone, env("PATH=/bin"), 0, no, check, "TZ is not set"},
		{"one is set to something else", timeZone, env("PATH=/bin", "TZ=CET"), 0, no, check, "something else"},
		{"one is set twice", timeZone, env("PATH=/bin", "TZ=UTC", "TZ=CET"), 0, no, check, "something else"},
		{"one is set twice, in the other order", timeZone, env("PATH=/bin", "TZ=CET", "TZ=UTC"), 0, no, check, "something else"},

		{"no secret", noSecrets, nil, 0, yes, "", ""},
		{"nobody looked", noSecrets, searched(nil), 0, unknown, check, "nobody looked"},
		{"nobody looked, and another rule says no", noSecrets + signed, func(k keys, ev *policy.Evidence) {
			searched(nil)(k, ev)
			signatureIs(policy.UnknownSigner, "")(k, ev)
		}, 0, no, policy.CheckSignatures, ""},
		{"a part was not looked at", noSecrets, searched(&policy.SecretSearch{Incomplete: "too long"}), 0, unknown, check, "too long"},
		{"a secret in what was", noSecrets, searched(&policy.SecretSearch{Incomplete: "too long", Found: []policy.Secret{leak}}), 0, no, check, "github-token"},
		{"a secret", noSecrets, searched(&policy.SecretSearch{Found: []policy.Secret{leak}}), 0, no, check, "a secret (github-token) in env DEMO_TOKEN"},
		{"a secret that is none", `image: {secrets: deny, notSecret: ["env DEMO_*"]}` + "\n", searched(&policy.SecretSearch{Found: []policy.Secret{leak}}), 0, yes, "", ""},
		{"a secret elsewhere", `image: {secrets: deny, notSecret: ["env DEMO"]}` + "\n", searched(&policy.SecretSearch{Found: []policy.Secret{leak}}), 0, no, check, ""},
		{"more secrets than are listed", `image: {secrets: deny, notSecret: ["*"]}` + "\n", searched(&policy.SecretSearch{Found: []policy.Secret{leak}, Omitted: 1}), 0, no, check, "1 secrets more"},
		{"nobody asked about secrets", anyUser, searched(&policy.SecretSearch{Found: []policy.Secret{leak}}), 0, yes, "", ""},

		{"as many layers as may be", fewLayers, nil, 0, yes, "", ""},
		{"one more", fewLayers, layers(1, 1, 1), 0, no, check, "3 layers"},
		{"of exactly the size", small, nil, 0, yes, "", ""},
		{"a byte more", small, layers(1<<30, 1<<30, 1), 0, no, check, "larger"},
		{"sizes that overflow", small, layers(math.MaxInt64, math.MaxInt64, 3), 0, no, check, "larger"},
		{"a size that is none", small, layers(-1), 0, no, check, "larger"},
		{"nothing known about layers", small, layers(), 0, unknown, check, "nothing is known"},
	})
}

// Findings name variables and places, and show no value.
func TestFindingsShowNoValueOfAVariable(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	ev := configured(k)
	env("DB_PASSWORD=hunter2", "LD_PRELOAD=hunter2", "TZ=hunter2")(k, ev)
	for _, rules := range []string{noEnv, timeZone} {
		got := policy.Evaluate(k.compile(t, rules), ev, received())
		if got.Verdict != policy.VerdictRejected {
			t.Fatalf("%+v", got)
		}
		for _, f := range got.Findings {
			if strings.Contains(f.Found+f.Expected+f.Remedy, "hunter2") {
				t.Errorf("%+v", f)
			}
		}
	}
}

// Whatever is wrong with the configuration, in whatever order: the result is the
// same to the byte, and taking the search or the layers away makes no yes of it.
func TestTheConfigurationInAnyOrder(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	c := k.compile(t, `image: {user: non-root, ports: {allow: ["8080"], denyPrivileged: true}, entrypoint: required, secrets: deny, maxLayers: 3, maxSize: 3GiB, env: {deny: ["A*", "*B"], require: ["TZ=UTC"]}}`)
	rapid.Check(t, func(t *rapid.T) {
		ev := configured(k)
		p := platform(ev)
		p.Config.ExposedPorts = rapid.SliceOfN(rapid.SampledFrom([]string{"8080", "80", "9090/udp", "x"}), 0, 4).Draw(t, "ports")
		p.Config.Env = rapid.SliceOfN(rapid.SampledFrom([]string{"AB=1", "A=2", "TZ=UTC", "TZ=x", "C"}), 0, 5).Draw(t, "env")
		p.Config.User = rapid.SampledFrom([]string{"", "0", "app"}).Draw(t, "user")
		p.Secrets.Found = rapid.SliceOfN(rapid.SampledFrom([]policy.Secret{{Where: "env A", Kind: "jwt"}, {Where: "history[1]", Kind: "password"}}), 0, 3).Draw(t, "secrets")
		first := policy.Evaluate(c, ev, received())
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		shuffle(r, p.Config.ExposedPorts)
		shuffle(r, p.Config.Env)
		shuffle(r, p.Secrets.Found)
		second := policy.Evaluate(c, ev, received())
		if a, b := text(t, first), text(t, second); string(a) != string(b) {
			t.Errorf("%s\n%s", a, b)
		}
		if rapid.Bool().Draw(t, "the search") {
			p.Secrets = nil
		} else {
			p.Layers = nil
		}
		if got := policy.Evaluate(c, ev, received()); got.Verdict == policy.VerdictPromoted {
			t.Errorf("promoted without it: %+v", got)
		}
	})
}
