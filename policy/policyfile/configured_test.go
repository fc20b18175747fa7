package policyfile_test

import (
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/policy/policyfile"
)

// section is a policy with one line of its own below spec, at line 5.
func section(line string) string {
	return "apiVersion: gatekeeper/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: piece}\nspec:\n  " + line + "\n  from: staging\n" +
		"  authorities: [{name: ci, anyOf: [{keyFile: ci.pub}]}]\n  match: {repositories: [\"**\"]}\n  promote: {to: golden, repository: x, tags: [x]}\n"
}

func TestMistakesInSectionsAboutTheImage(t *testing.T) {
	t.Parallel()
	read := reader(map[string][]byte{"ci.pub": publicKey(t)})
	for _, tt := range [][2]string{
		{"image: {}", "asks for nothing"},
		{"image: {secrets: allow}", "asks for nothing"},
		{"image: {users: app}", "users"},
		{"image: {user: []}", "an empty list"},
		{"image: {user: [app, ' ']}", "missing; write non-root"},
		{"image: {user: {name: app}}", "user"},
		{"image: {ports: {}}", "asks for nothing"},
		{"image: {ports: {allow: [http]}}", `"http" is no port`},
		{"image: {ports: {allow: [70000]}}", `"70000" is no port`},
		{"image: {ports: {allow: [80], denyPrivileged: true}}", "take one away"},
		{"image: {entrypoint: []}", "an empty list"},
		{"image: {entrypoint: [required, /app]}", "keep one"},
		{"image: {entrypoint: '[a'}", "is no glob"},
		{"image: {env: {}}", "asks for nothing"},
		{"image: {env: {deny: ['']}}", "missing; write a variable"},
		{"image: {env: {require: ['*']}}", "no variable in particular"},
		{"image: {secrets: forbid}", "write deny or allow"},
		{"image: {user: app, notSecret: [env X]}", "belongs to secrets: deny"},
		{"image: {maxLayers: -1}", "a number of layers"},
		{"image: {maxSize: large}", "is no size"},
		{"vulnerabilities: {counts: [{after: 30d, deny: '> 5'}]}", "write fixed: true"},
		{"patchLevel: {created: {from: [configuration]}}", "says nothing without an age"},
		{"patchLevel: {maxAge: 30d, created: {}}", "missing; write [provenance]"},
		{"patchLevel: {maxAge: 30d, created: {from: [label]}}", "write provenance or configuration"},
		{"patchLevel: {maxAge: 30d, created: {from: [configuration, configuration]}}", "there twice"},
		{"patchLevel: {maxAge: 30d, created: {from: [provenance]}}", "signedBy: missing"},
		{"patchLevel: {maxAge: 30d, created: {from: [provenance], signedBy: [cd]}}", "no authority is named"},
		{"patchLevel: {maxAge: 30d, created: {from: [configuration], signedBy: [ci]}}", "nobody signs a configuration"},
		{"patchLevel: {runtimes: {}}", "asks for nothing"},
		{"patchLevel: {runtimes: {endOfLife: allow}}", "asks for nothing"},
		{"patchLevel: {runtimes: {endOfLife: forbid, allow: [go]}}", "write deny or allow"},
		{"patchLevel: {runtimes: {allow: [node >= 22]}}", "write one of dotnet, go, java"},
		{"patchLevel: {runtimes: {allow: [python 3]}}", "write one of dotnet, go, java"},
		{"image: {maxSize: 0B}", "is no size"},
	} {
		line, want := tt[0], tt[1]
		_, err := policyfile.Parse("p.yaml", []byte(section(line)), read)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "p.yaml:5:") {
			t.Errorf("%s: %v, want an error on line 5 that says %q", line, err, want)
		}
	}
	for _, line := range []string{
		"patchLevel: {maxAge: 30d, created: {from: [provenance, configuration], signedBy: [ci]}}", "patchLevel: {runtimes: {endOfLife: deny}}",
		"patchLevel: {runtimes: {allow: ['nodejs >= 22', python = 3.12, go]}}", "vulnerabilities: {counts: [{fixed: true, after: 30d, deny: '> 5'}]}",
		"image: {user: non-root}", "image: {user: [app, 65532]}", "image: {ports: {allow: [8080, 53/udp]}}", "image: {ports: {allow: []}}",
		"image: {entrypoint: /app/**}", "image: {secrets: deny, notSecret: ['env *']}", "image: {maxSize: 1.5GB, maxLayers: 1}",
	} {
		if _, err := policyfile.Parse("p.yaml", []byte(section(line)), read); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// No port and any port are not the same policy.
func TestAnEmptyListOfPortsIsPartOfTheFingerprint(t *testing.T) {
	t.Parallel()
	prints := map[string]bool{}
	for _, line := range []string{"image: {ports: {denyPrivileged: true}}", "image: {ports: {allow: [], denyPrivileged: true}}"} {
		parsed, err := policyfile.Parse("p.yaml", []byte(section(line)), reader(map[string][]byte{"ci.pub": publicKey(t)}))
		if err != nil {
			t.Fatal(err)
		}
		prints[parsed[0].Fingerprint()] = true
	}
	if len(prints) != 2 {
		t.Error("they have the same fingerprint")
	}
}
