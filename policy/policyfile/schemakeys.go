package policyfile

// key is what the schema says of a key beside its type.
type key struct {
	text     string
	required bool
	values   []string
}

// described says what each key of a policy means, by the names of its type and
// field. docs/policy.md has the whole of it.
func described() map[string]key {
	severities := []string{"critical", "high", "medium", "low", "negligible", "unknown"}
	return map[string]key{
		"Policy.APIVersion": {"the version of the format", true, []string{"gatekeeper/v1alpha1"}},
		"Policy.Kind":       {"what the document is", true, []string{"PromotionPolicy"}},
		"Policy.Metadata":   {"how the policy is called", true, nil},
		"Policy.Spec":       {"what the policy says", true, nil},

		"ExceptionList.APIVersion":     {"the version of the format", true, []string{"gatekeeper/v1alpha1"}},
		"ExceptionList.Kind":           {"what the document is", true, []string{"ExceptionList"}},
		"ExceptionList.Metadata":       {"how the list is called", true, nil},
		"ExceptionList.Spec":           {"what the list says", true, nil},
		"ExceptionListSpec.Exceptions": {"vulnerabilities that are excused, as in vulnerabilities.exceptions of policies that name the list", false, nil},
		"VersionList.APIVersion":       {"the version of the format", true, []string{"gatekeeper/v1alpha1"}},
		"VersionList.Kind":             {"what the document is", true, []string{"VersionList"}},
		"VersionList.Metadata":         {"how the list is called", true, nil},
		"VersionList.Spec":             {"what the list says", true, nil},
		"VersionListSpec.Packages":     {"versions that are recommended; of several for one package all have to hold", true, nil},
		"Recommended.Type":             {"the type of the package, as in package URLs", true, nil},
		"Recommended.Name":             {"the package's name", true, nil},
		"Recommended.Versions":         {"a range in the order of the ecosystem: \">= 4.17.21, < 5 || >= 6\"", true, nil},
		"Recommended.Since":            {"the day (UTC) from which other versions are refused", false, nil},
		"Recommended.Reason":           {"why, for findings", false, nil},

		"Metadata.Name":        {"a name of its own: lower-case letters, digits, dots and dashes, at most 63", true, nil},
		"Metadata.Description": {"what the policy is for", false, nil},

		"Spec.From":            {"the registry, by its name in the configuration, whose pushes the policy is about", true, nil},
		"Spec.Match":           {"which pushes the policy is about", true, nil},
		"Spec.Mode":            {"enforce promotes on a yes, audit only decides and records; enforce when left out", false, []string{"enforce", "audit"}},
		"Spec.Wait":            {"how long, from the push, missing evidence is awaited; 10m when left out, 0s not at all, at most 30d", false, nil},
		"Spec.Authorities":     {"whose signatures count, by names that the rest refers to", false, nil},
		"Spec.Signatures":      {"image signatures; every entry has to hold", false, nil},
		"Spec.Attestations":    {"signed statements about the image; every entry has to hold", false, nil},
		"Spec.SBOM":            {"whose SBOM stands in for cataloguing the layers", false, nil},
		"Spec.Vulnerabilities": {"which known vulnerabilities refuse an image", false, nil},
		"Spec.PatchLevel":      {"how up to date an image has to be", false, nil},
		"Spec.Image":           {"how an image has to be configured", false, nil},
		"Spec.Components":      {"packages that must not be in an image, and that have to be", false, nil},
		"Spec.Licenses":        {"licences of the packages", false, nil},
		"Spec.Rules":           {"CEL expressions that have to hold for every platform", false, nil},
		"Spec.Promote":         {"where a yes takes the image", true, nil},

		"Match.Repositories":       {"globs: * within a path element, ** across elements, ! in front leaves out again", false, nil},
		"Match.RepositoriesRegExp": {"regular expressions (RE2) for the whole name, one of which has to fit", false, nil},
		"Match.Tags":               {"globs, as for repositories; every tag when left out", false, nil},
		"Match.TagsRegExp":         {"regular expressions (RE2) for the whole tag, one of which has to fit", false, nil},
		"Match.Versions":           {"a range of semantic versions, such as >= 1.4, < 2", false, nil},

		"NamedAuthority.Name":      {"a name that signatures, attestations and others refer to", true, nil},
		"NamedAuthority.AnyOf":     {"who can sign", true, nil},
		"NamedAuthority.Threshold": {"how many of them have to; 1 when left out", false, nil},

		"SignatureRule.Name":      {"a name that findings refer to", true, nil},
		"SignatureRule.AnyOf":     {"who can sign", false, nil},
		"SignatureRule.Threshold": {"how many of them have to; 1 when left out", false, nil},
		"SignatureRule.SignedBy":  {"authorities, one of which has to sign", false, nil},

		"KeyReference.KeyFile":   {"a file with a public key in PEM, relative to this one", false, nil},
		"KeyReference.KMS":       {"a key in a key management system: awskms://, azurekms://, gcpkms:// or hashivault://", false, nil},
		"KeyReference.Key":       {"a public key in PEM", false, nil},
		"KeyReference.TrustRoot": {"the trust root whose transparency log has to have the signature of a key", false, nil},
		"KeyReference.Keyless":   {"an identity in a certificate of a trust root", false, nil},
		"KeyReference.Notary":    {"certificates of the Notary Project", false, nil},

		"KeylessReference.TrustRoot":      {"whose certificates; sigstore, the public instance, when left out", false, nil},
		"KeylessReference.Issuer":         {"who vouched for the identity; * is any text", false, nil},
		"KeylessReference.IssuerRegExp":   {"a regular expression (RE2) for the whole issuer", false, nil},
		"KeylessReference.Identity":       {"the certificate's subject; * is any text, without an @ when one follows", false, nil},
		"KeylessReference.IdentityRegExp": {"a regular expression (RE2) for the whole subject", false, nil},
		"KeylessReference.Claims":         {"what else the certificate has to say, by the names of Fulcio's extensions", false, nil},

		"NotaryReference.CertificateFile":          {"a file with the authorities' certificates in PEM, relative to this one", false, nil},
		"NotaryReference.Certificates":             {"the authorities' certificates in PEM", false, nil},
		"NotaryReference.TimestampCertificateFile": {"a file with the timestamp authorities' certificates in PEM", false, nil},
		"NotaryReference.TimestampCertificates":    {"the timestamp authorities' certificates in PEM", false, nil},
		"NotaryReference.Identities":               {"subjects of signing certificates: x509.subject: C=US, ST=WA, O=acme", true, nil},

		"Attested.Name":          {"a name that findings refer to", true, nil},
		"Attested.PredicateType": {"the predicate type's URI", true, nil},
		"Attested.SignedBy":      {"authorities, one of which has to sign", true, nil},
		"Attested.Expression":    {"a CEL expression over predicate, subject, push and now", false, nil},

		"SBOMSource.PredicateTypes": {"https://cyclonedx.org/bom, https://spdx.dev/Document, or either with a version", true, nil},
		"SBOMSource.SignedBy":       {"authorities, one of which has to sign", true, nil},
		"SBOMSource.Required":       {"refuse an image without one", false, nil},

		"Vulnerabilities.Report":         {"which scans count", false, nil},
		"Vulnerabilities.Deny":           {"each refuses the vulnerabilities that all of its conditions apply to", false, nil},
		"Vulnerabilities.Counts":         {"how many vulnerabilities refuse an image", false, nil},
		"Vulnerabilities.ExceptionLists": {"names of lists whose exceptions apply too", false, nil},
		"Vulnerabilities.VEX":            {"whose VEX statements excuse vulnerabilities", false, nil},
		"Vulnerabilities.Exceptions":     {"vulnerabilities that are excused for a while", false, nil},

		"Report.From":                 {"scanner, attestation or both: each has to be there; scanner when left out", false, nil},
		"Report.SignedBy":             {"authorities whose signed reports count", false, nil},
		"Report.ScanMaxAge":           {"up to which age of the scan a signed report counts; as maxAge when left out", false, nil},
		"Report.AllowUndatedDatabase": {"accept signed reports that do not say how old their database was", false, nil},
		"Report.MaxAge":               {"up to which age of the vulnerability database a scan counts; 48h when left out", false, nil},
		"Report.AllowSampleDatabase":  {"accept the sample of the demonstration", false, nil},

		"Deny.Severity":       {"at or above", false, severities},
		"Deny.Fixed":          {"with a published fix; with false, without one", false, nil},
		"Deny.KnownExploited": {"in a catalogue of exploited vulnerabilities", false, nil},
		"Deny.EPSS":           {"at least this probability of being exploited within 30 days, 0 to 1", false, nil},
		"Deny.After":          {"once a fix has been published for so long", false, nil},
		"Deny.Since":          {"what after counts from: the fix, or the advisory; the fix when left out", false, []string{"fix", "advisory"}},
		"Deny.Types":          {"in packages of these types: deb, rpm, apk, golang, npm, pypi, maven …", false, nil},
		"Deny.Packages":       {"in packages of these names, globs", false, nil},

		"Count.Severity": {"exactly; all when left out", false, severities},
		"Count.Fixed":    {"with a published fix; with false, without one", false, nil},
		"Count.After":    {"with fixed: true, those whose fix has been published for so long", false, nil},
		"Count.Deny":     {"the numbers that are refused: > 10, >= 10, = 10, != 10, <= 10 or < 10", true, nil},

		"VEXSource.SignedBy": {"authorities whose statements count", true, nil},
		"VEXSource.MaxAge":   {"up to which age, by its own date, a statement counts; any when left out", false, nil},

		"Exception.ID":           {"the vulnerability, or one of its aliases", true, nil},
		"Exception.Package":      {"in this package; in every one when left out", false, nil},
		"Exception.Repositories": {"in these repositories, globs; in every one when left out", false, nil},
		"Exception.Expires":      {"the last day on which it applies, UTC", true, nil},
		"Exception.Owner":        {"who answers for it", true, nil},
		"Exception.Reason":       {"why the vulnerability is acceptable", true, nil},
		"Exception.Ticket":       {"where it was agreed on", false, nil},

		"PatchLevel.MaxAge":           {"since the image was created", false, nil},
		"PatchLevel.Created":          {"whose word counts for when the image was created", false, nil},
		"PatchLevel.Runtimes":         {"which runtimes an image may hold", false, nil},
		"PatchLevel.Versions":         {"lists of the versions that are recommended", false, nil},
		"PatchLevel.OperatingSystems": {"which distributions an image may be built on", false, nil},
		"PatchLevel.Packages":         {"packages that must not be older where they are installed", false, nil},
		"PatchLevel.Labels":           {"regular expressions (RE2) for the whole values of labels, by their names", false, nil},

		"PatchLevel.Base": {"golden images that an image has to be built on, proven from its layers", false, nil},

		"BaseRule.Repositories": {"golden repositories with the registry's name in front, globs: golden/base/**", true, nil},
		"BaseRule.MaxBehind":    {"how many newer releases of the base there may be; any number when left out", false, nil},
		"BaseRule.MaxAge":       {"how long ago the base may have become golden; any time when left out", false, nil},

		"OperatingSystems.EndOfLife": {"deny refuses a release whose free security support has ended", false, []string{"deny", "allow"}},
		"OperatingSystems.Allow":     {"what may be used: debian >= 12, ubuntu = 24.04, wolfi", false, nil},

		"Versions.Lists":        {"names of VersionLists", true, nil},
		"Versions.DenyUnlisted": {"package URL types of which nothing may be installed that none of the lists has", false, nil},

		"CreatedFrom.From":     {"provenance, configuration, or both, which then both have to be recent", true, nil},
		"CreatedFrom.SignedBy": {"authorities whose provenance counts", false, nil},

		"Runtimes.EndOfLife": {"deny refuses a release whose support has ended", false, []string{"deny", "allow"}},
		"Runtimes.Allow":     {"what may be used: nodejs >= 20, python = 3.12", false, nil},

		"Configured.User":       {"non-root, non-root-uid, or users as the configuration writes them", false, nil},
		"Configured.Ports":      {"which ports an image may expose", false, nil},
		"Configured.Entrypoint": {"required, or globs for the program that is started", false, nil},
		"Configured.Env":        {"which variables an image may set and has to", false, nil},
		"Configured.Secrets":    {"deny refuses an image whose configuration or history holds secrets", false, []string{"deny", "allow"}},
		"Configured.NotSecret":  {"places where something looks like a secret and is none, as findings write them", false, nil},
		"Configured.MaxLayers":  {"how many layers an image may have", false, nil},
		"Configured.MaxSize":    {"how large all layers may be as they are stored: 2GiB", false, nil},

		"Ports.Allow":          {"8080/tcp or 9090, which is TCP; an empty list allows none", false, nil},
		"Ports.DenyPrivileged": {"refuse ports below 1024", false, nil},

		"Environment.Deny":    {"variables that must not be set: a name, or NAME=value; * is any text", false, nil},
		"Environment.Require": {"variables that have to be set: a name, or NAME=value; * is any text", false, nil},

		"Components.Deny":    {"package URLs, or mappings with versions, that refuse an image", false, nil},
		"Components.Require": {"package URLs, or mappings with versions, of which each platform has to have one each", false, nil},

		"Component.PURL":         {"a package URL; namespace and name may have globs", true, nil},
		"Component.Versions":     {"a range in the order of the ecosystem: >= 2.0, < 2.17.1 || = 3.0; every version when left out", false, nil},
		"Component.Reason":       {"why, for the developer", false, nil},
		"Component.Repositories": {"in these repositories, globs; in every one when left out", false, nil},

		"Licenses.Deny":       {"SPDX licence identifiers, or globs of them", false, nil},
		"Licenses.Allow":      {"SPDX licence identifiers, or globs of them; everything else is denied", false, nil},
		"Licenses.Unknown":    {"what becomes of packages without a licence that is known; deny when left out", false, []string{"deny", "allow"}},
		"Licenses.Types":      {"package URL types that are looked at; all when left out", false, nil},
		"Licenses.Exceptions": {"licences that are excused for a while", false, nil},

		"LicenseException.Packages":     {"package URLs; every package when left out", false, nil},
		"LicenseException.Licenses":     {"SPDX licence identifiers, or globs of them; every licence, and none known, when left out", false, nil},
		"LicenseException.Repositories": {"in these repositories, globs; in every one when left out", false, nil},
		"LicenseException.Expires":      {"the last day on which it applies, UTC", true, nil},
		"LicenseException.Owner":        {"who answers for it", true, nil},
		"LicenseException.Reason":       {"why the licence is acceptable", true, nil},
		"LicenseException.Ticket":       {"where it was agreed on", false, nil},

		"MinimumVersion.Type":    {"the package URL type: deb, rpm, apk, npm, pypi, golang …", true, nil},
		"MinimumVersion.Name":    {"the package", true, nil},
		"MinimumVersion.Minimum": {"the oldest version that is accepted, in the order of its ecosystem", true, nil},

		"Rule.Name":       {"a name that findings refer to", true, nil},
		"Rule.Expression": {"a CEL expression over subject, push, image, signatures, attestations, catalogue, os, packages, vulnerabilities and now", true, nil},
		"Rule.Message":    {"the remedy that developers read", false, nil},

		"Promote.To":         {"the golden registry, by its name in the configuration", true, nil},
		"Promote.Repository": {"the golden repository, a template: {{ .Repository }}", true, nil},
		"Promote.Tags":       {"templates: {{ .Tag }}, {{ .Tag }}-{{ .Date }}", false, nil},
		"Promote.Channels":   {"tags that move with every promotion", false, nil},
		"Promote.Immutable":  {"tags never move to another digest", false, nil},
	}
}
