package netguard_test

import (
	"net/netip"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/netguard"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ never, public bool }{
		"93.184.215.14":            {false, true},
		"2606:2800:21f::1":         {false, true},
		"::ffff:93.184.215.14":     {false, true},
		"10.0.0.1":                 {false, false},
		"fd12::1":                  {false, false},
		"127.0.0.1":                {false, false},
		"::1":                      {false, false},
		"100.64.0.1":               {false, false},
		"169.254.169.254":          {true, false},
		"::ffff:169.254.169.254":   {true, false},
		"64:ff9b::169.254.169.254": {true, false},
		"fe80::1%eth0":             {true, false},
		"fd00:ec2::254":            {true, false},
		"100.100.100.200":          {true, false},
		"0.0.0.0":                  {true, false},
		"::":                       {true, false},
		"224.0.0.1":                {true, false},
		"255.255.255.255":          {true, false},
	} {
		ip := netguard.Plain(netip.MustParseAddr(text))
		if never, public := netguard.NeverAsked(ip), netguard.Public(ip); never != want.never || public != want.public {
			t.Errorf("%s: never asked is %t, public is %t", text, never, public)
		}
	}
}
