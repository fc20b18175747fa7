package policy_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/golden-gatekeeper/gatekeeper/"
	// packages are this one and those below it; testing what they reach is their
	// tests' only way out.
	packages = "./..."
)

// goList runs go list on the packages, and returns a line for each.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// outside says whether a package of the standard library leads to a network,
// a storage or a process. Package net itself comes with crypto/x509, which names
// its types.
func outside(name string) bool {
	return slices.Contains([]string{"net/http", "net/http/httptest", "net/rpc", "net/smtp", "database/sql", "os/exec"}, name) || strings.HasPrefix(name, "crypto/tls")
}

// leaves know nothing of policies, and policies of them.
func leaves() []string { return []string{module + "policy/vulnreport", module + "policy/vex"} }

// Judging, and testing what is judged, needs nothing but what it is given: no
// network, storage or process, not even through what is imported.
func TestThePackagesArePure(t *testing.T) {
	t.Parallel()
	for _, name := range goList(t, packages) {
		for _, dep := range goList(t, "-deps", name) {
			switch {
			case outside(dep):
				t.Errorf("%s reaches %s", name, dep)
			case name == module+"policy" && strings.HasPrefix(dep, module) && dep != name && !slices.Contains(leaves(), dep):
				t.Errorf("%s reaches %s", name, dep)
			case strings.HasPrefix(dep, module) && !strings.HasPrefix(dep, module+"policy"):
				t.Errorf("%s reaches %s", name, dep)
			}
		}
	}
}

// The tests reach no more, but for this one, which asks the go command.
func TestTheTestsArePure(t *testing.T) {
	t.Parallel()
	for _, line := range goList(t, "-f", "{{range .TestImports}}{{$.ImportPath}} {{.}}\n{{end}}{{range .XTestImports}}{{$.ImportPath}} {{.}}\n{{end}}", packages) {
		name, imported, _ := strings.Cut(line, " ")
		if (outside(imported) || imported == "net") && (name != module+"policy" || imported != "os/exec") {
			t.Errorf("tests of %s import %s", name, imported)
		}
		if strings.HasPrefix(imported, module) && !strings.HasPrefix(imported, module+"policy") {
			t.Errorf("tests of %s import %s", name, imported)
		}
	}
	if found, err := exec.CommandContext(t.Context(), "grep", "-rln", "--include=*.go", "os/exec", ".").Output(); err != nil || string(found) != "./pure_test.go\n" {
		t.Errorf("processes are started by %s: %v", found, err)
	}
}

// Nobody asks the clock: the time is given.
func TestNobodyAsksTheClock(t *testing.T) {
	t.Parallel()
	found, err := exec.CommandContext(t.Context(), "grep", "-rnE", "--include=*.go", `time\.(Now|Since|Until|After|Sleep|Tick|NewTimer|NewTicker|AfterFunc)\(`, ".").Output()
	if err == nil {
		t.Errorf("asked for the time:\n%s", found)
	}
}
