package report

import (
	"fmt"
	"strings"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// maxBases is how many platforms' bases are listed.
const maxBases = 10

// BuiltOn says which golden bases a policy found, each once for the platforms
// that are built on it.
func BuiltOn(bases []policy.BuiltOn) []string {
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
	var lines []string
	for i, base := range order {
		if i == maxBases {
			return append(lines, fmt.Sprintf("And on %d more bases; the JSON shows all of them.", len(order)-i))
		}
		lines = append(lines, fmt.Sprintf("Built on %s/%s@%s, %s (%s).", base.Registry, base.Repository, base.Digest, release(base.Behind), strings.Join(platforms[base], ", ")))
	}
	return lines
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
