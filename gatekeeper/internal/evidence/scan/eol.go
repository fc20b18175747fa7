package scan

import (
	"strings"
	"time"
)

// lifeCycles holds, by ID and VERSION_ID of os-release(5), the last day of the
// security support that costs nothing, long-term support by the project
// included. Collected from the vendors' life-cycle pages in November 2026; a
// release that is not here has an unknown end of life, not an endless one.
//
//nolint:gochecknoglobals // a table
var lifeCycles = map[string]map[string]string{
	"debian": {
		"8": "2020-06-30", "9": "2022-06-30", "10": "2024-06-30", "11": "2026-08-31", "12": "2028-06-30", "13": "2030-06-30",
	},
	"ubuntu": {
		"14.04": "2019-04-25", "16.04": "2021-04-30", "18.04": "2023-05-31", "20.04": "2025-05-31", "22.04": "2027-04-30",
		"23.04": "2024-01-25", "23.10": "2024-07-11", "24.04": "2029-04-30", "24.10": "2025-07-10", "25.04": "2026-01-15", "25.10": "2026-07-31",
		"26.04": "2031-04-30",
	},
	"alpine": {
		"3.10": "2021-05-01", "3.11": "2021-11-01", "3.12": "2022-05-01", "3.13": "2022-11-01", "3.14": "2023-05-01",
		"3.15": "2023-11-01", "3.16": "2024-05-23", "3.17": "2024-11-22", "3.18": "2025-05-09", "3.19": "2025-11-01",
		"3.20": "2026-04-01", "3.21": "2026-11-01", "3.22": "2027-05-01", "3.23": "2027-11-01",
	},
	"rhel":          {"6": "2020-11-30", "7": "2024-06-30", "8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"},
	"centos":        {"6": "2020-11-30", "7": "2024-06-30", "8": "2024-05-31", "9": "2027-05-31"},
	"rocky":         {"8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"},
	"almalinux":     {"8": "2029-03-01", "9": "2032-05-31", "10": "2035-05-31"},
	"ol":            {"6": "2021-03-31", "7": "2024-12-31", "8": "2029-07-31", "9": "2032-06-30"},
	"amzn":          {"2018.03": "2023-12-31", "2": "2026-06-30", "2023": "2029-06-30"},
	"fedora":        {"38": "2024-05-21", "39": "2024-11-26", "40": "2025-05-13", "41": "2025-12-15", "42": "2026-05-13"},
	"opensuse-leap": {"15.4": "2023-12-07", "15.5": "2024-12-31", "15.6": "2026-04-30"},
}

// rolling lists the distributions without releases: they are current or not,
// but they do not end.
//
//nolint:gochecknoglobals // a table
var rolling = map[string]bool{"wolfi": true, "chainguard": true, "arch": true, "opensuse-tumbleweed": true}

// EndOfLife returns the moment at which support for a release ends; nil when
// that is not known. A point release ends with its series: 3.20.3 with 3.20.
func EndOfLife(id, version string) *time.Time {
	return endOf(lifeCycles[id], version)
}

// Rolling says whether a distribution has no releases that could end.
func Rolling(id string) bool { return rolling[id] }

func parentVersion(v string) string {
	i := strings.LastIndexByte(v, '.')
	if i < 0 {
		return ""
	}
	return v[:i]
}
