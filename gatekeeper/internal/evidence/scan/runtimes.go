package scan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/golden-gatekeeper/gatekeeper/policy"
)

// runtimeCycles holds, by runtime and release, the last day of security support
// that costs nothing. The names are those of endoflife.date, whose dates and
// the projects' own release schedules were read in November 2026. Where only a
// month is known, it is the month's last day; Go's releases end with the second
// one after them, of which the next two are planned by month. Java is the end of
// the longest free support of any vendor's builds (Amazon Corretto's), since a
// binary does not say reliably whose it is. A release that is not here has an
// unknown end of life, not an endless one.
//
//nolint:gochecknoglobals // a table
var runtimeCycles = map[string]map[string]string{
	"nodejs": {
		"4": "2018-04-30", "5": "2016-06-30", "6": "2019-04-30", "7": "2017-06-30", "8": "2019-12-31", "9": "2018-06-30", "10": "2021-04-30",
		"11": "2019-06-30", "12": "2022-04-30", "13": "2020-06-01", "14": "2023-04-30", "15": "2021-06-01", "16": "2023-09-11", "17": "2022-06-01",
		"18": "2025-04-30", "19": "2023-06-01", "20": "2026-04-30", "21": "2024-06-01", "22": "2027-04-30", "23": "2025-06-01", "24": "2028-04-30",
		"25": "2026-06-01", "26": "2029-04-30",
	},
	"python": {
		"2.6": "2013-10-29", "2.7": "2020-01-01", "3.3": "2017-09-29", "3.4": "2019-03-18", "3.5": "2020-09-30", "3.6": "2021-12-23", "3.7": "2023-06-27",
		"3.8": "2024-10-07", "3.9": "2025-10-31", "3.10": "2026-10-31", "3.11": "2027-10-31", "3.12": "2028-10-31", "3.13": "2029-10-31",
		"3.14": "2030-10-31", "3.15": "2031-10-31",
	},
	"go": {
		"1.9": "2018-08-24", "1.10": "2019-02-25", "1.11": "2019-09-03", "1.12": "2020-02-25", "1.13": "2020-08-11", "1.14": "2021-02-16",
		"1.15": "2021-08-16", "1.16": "2022-03-15", "1.17": "2022-08-02", "1.18": "2023-02-01", "1.19": "2023-08-08", "1.20": "2024-02-06",
		"1.21": "2024-08-13", "1.22": "2025-02-11", "1.23": "2025-08-12", "1.24": "2026-02-10", "1.25": "2026-08-19", "1.26": "2027-02-28",
		"1.27": "2027-08-31",
	},
	"java": {
		"6": "2018-12-31", "7": "2022-07-31", "8": "2030-12-31", "9": "2018-03-20", "10": "2018-09-25", "11": "2032-01-31", "12": "2019-09-17",
		"13": "2020-03-17", "14": "2020-09-15", "15": "2021-03-16", "16": "2021-09-30", "17": "2029-10-31", "18": "2022-09-30", "19": "2023-03-31",
		"20": "2023-09-19", "21": "2030-10-31", "22": "2024-09-17", "23": "2025-03-18", "24": "2025-09-16", "25": "2032-10-31", "26": "2026-09-30",
		"27": "2027-03-31",
	},
	"php": {
		"5.5": "2016-07-21", "5.6": "2018-12-31", "7.0": "2019-01-10", "7.1": "2019-12-01", "7.2": "2020-11-30", "7.3": "2021-12-06", "7.4": "2022-11-28",
		"8.0": "2023-11-26", "8.1": "2025-12-31", "8.2": "2026-12-31", "8.3": "2027-12-31", "8.4": "2028-12-31", "8.5": "2029-12-31",
	},
	"ruby": {
		"1.9": "2015-02-23", "2.0": "2016-02-24", "2.1": "2017-03-31", "2.2": "2018-03-31", "2.3": "2019-03-31", "2.4": "2020-03-31", "2.5": "2021-03-31",
		"2.6": "2022-03-31", "2.7": "2023-03-31", "3.0": "2024-04-23", "3.1": "2025-03-31", "3.2": "2026-03-31", "3.3": "2027-03-31", "3.4": "2028-03-31",
		"4.0": "2029-03-31",
	},
	"dotnet": {
		"1.0": "2019-06-27", "1.1": "2019-06-27", "2.0": "2018-10-01", "2.1": "2021-08-21", "2.2": "2019-12-23", "3.0": "2020-03-03", "3.1": "2022-12-13",
		"5": "2022-05-10", "6": "2024-11-12", "7": "2024-05-14", "8": "2026-11-10", "9": "2026-11-10", "10": "2028-11-14",
	},
	"perl": {
		"5.26": "2020-05-30", "5.28": "2021-06-23", "5.30": "2022-05-22", "5.32": "2023-06-20", "5.34": "2024-05-20", "5.36": "2025-05-27",
		"5.38": "2026-07-02", "5.40": "2027-06-09", "5.42": "2028-07-03",
	},
}

// Runtimes finds the major runtimes among the packages of an image, sorted,
// each once. What a distribution packaged is none of them: it mends what it
// ships for as long as it is supported itself.
func Runtimes(packages []policy.Package) []policy.Runtime {
	found := []policy.Runtime{}
	for _, p := range packages {
		name := runtimeOf(p)
		if name == "" {
			continue
		}
		version := release(name, p.Version)
		found = append(found, policy.Runtime{
			Name: name, Version: version, Package: strings.TrimSpace(p.Name + " " + p.Version), EndOfLife: endOf(runtimeCycles[name], version),
		})
	}
	slices.SortFunc(found, func(a, b policy.Runtime) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Package, b.Package))
	})
	return slices.CompactFunc(found, func(a, b policy.Runtime) bool {
		return a.Name == b.Name && a.Version == b.Version && a.Package == b.Package
	})
}

// runtimeOf names the runtime that a package is, as Syft catalogues binaries
// and libraries; empty: none.
func runtimeOf(p policy.Package) string {
	binaries := map[string]string{
		"node": "nodejs", "python": "python", "go": "go", "openjdk": "java", "jre": "java", "jdk": "java", "java": "java", "zulu": "java",
		"php-cli": "php", "php-fpm": "php", "libphp": "php", "php": "php", "ruby": "ruby", "perl": "perl", "dotnet": "dotnet", "golang": "go", "nodejs": "nodejs",
	}
	switch p.Type {
	case "generic", "binary", "bitnami", "conda":
		return binaries[p.Name]
	case "golang":
		if p.Name == "stdlib" { // of each binary that Go made
			return "go"
		}
	case "cpan":
		if p.Name == "perl" {
			return "perl"
		}
	case "nuget", "dotnet":
		if p.Name == "Microsoft.NETCore.App" || strings.HasPrefix(p.Name, "Microsoft.NETCore.App.Runtime.") {
			return "dotnet"
		}
	}
	return ""
}

// release is the part of a version that numbers the release: "17.0.13" of
// "17.0.13+11-LTS". Java up to 8 counts from 1.0.
func release(name, version string) string {
	version = strings.TrimPrefix(strings.TrimPrefix(version, "go"), "v")
	end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end >= 0 {
		version = version[:end]
	}
	version = strings.Trim(version, ".")
	if name == "java" {
		version = strings.TrimPrefix(version, "1.")
	}
	return version
}

// endOf is the moment at which support for a release ends; nil when that is not
// known. 3.12.4 ends with 3.12.
func endOf(cycles map[string]string, version string) *time.Time {
	for v := version; v != ""; v = parentVersion(v) {
		if day, ok := cycles[v]; ok {
			end, err := time.Parse(time.DateOnly, day)
			if err != nil {
				return nil
			}
			end = end.AddDate(0, 0, 1) // the last day counts in full
			return &end
		}
	}
	return nil
}
