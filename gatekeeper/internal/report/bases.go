package report

import (
	"fmt"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// maxBases is how many platforms' bases are listed.
const maxBases = 10

// builtOn says which golden bases a policy found, each once for the platforms
// that are built on it.
func builtOn(b *strings.Builder, indent string, bases []policy.BuiltOn) {
	var order []policy.BuiltOn
	platforms := map[policy.BuiltOn][]string{}
	for _, base := range bases {
		same := base
		same.Platform, same.Image, same.Manifest = "", "", ""
		if platforms[same] == nil {
			order = append(order, same)
		}
		platforms[same] = append(platforms[same], base.Platform)
	}
	for i, base := range order {
		if i == maxBases {
			fmt.Fprintf(b, "%sand on %d more bases; -o json shows all of them\n", indent, len(order)-i)
			return
		}
		fmt.Fprintf(b, "%sBuilt on %s/%s@%s, %s (%s).\n", indent, base.Registry, base.Repository, base.Digest, release(base.Behind), strings.Join(platforms[base], ", "))
	}
}

func release(behind int) string {
	switch behind {
	case 0:
		return "its newest release"
	case 1:
		return "1 release behind"
	}
	return fmt.Sprintf("%d releases behind", behind)
}
