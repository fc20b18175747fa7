package secrets_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/golden-gatekeeper/gatekeeper/gatekeeper/internal/evidence/image/secrets"
)

// The samples are put together when the tests run, so that no scanner takes
// this file for a leak. None of them was ever valid.
const a36 = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1BcD4eF7gH"

func pem(kind string) string {
	return "-----BEGIN " + kind + "-----\n" + strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n", 5) + "-----END " + kind + "-----"
}

func jwt(header string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"1234567890"}`)) + ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
}

// known are texts with a secret, by the kind that it is, and the secret.
func known() map[string][3]string {
	key := pem("RSA PRIVATE KEY")
	return map[string][3]string{
		"an access key of AWS":          {"AKIA" + "QZ3MPX5KN7VLTW2H", "aws-access-key-id", "QZ3MPX5KN7VLTW2H"},
		"a temporary one":               {"ASIA" + "QZ3MPX5KN7VLTW2H", "aws-access-key-id", "QZ3MPX5KN7VLTW2H"},
		"a token of GitHub":             {"x=ghp" + "_" + a36, "github-token", a36},
		"a fine-grained one":            {"github_pat" + "_" + a36[:22] + "_" + a36 + a36[:23], "github-token", a36},
		"a token of GitLab":             {"glpat" + "-" + a36[:20], "gitlab-token", a36[:20]},
		"a token of Slack":              {"xoxb" + "-123456789012-123456789012-" + a36[:24], "slack-token", a36[:24]},
		"a webhook of Slack":            {"https://hooks.slack.com/services/T0" + "ABCDEFG/B0ABCDEFG/" + a36[:24], "slack-webhook", a36[:24]},
		"a key of Google's":             {"AIza" + a36[:35], "google-api-key", a36[:35]},
		"a JWT":                         {jwt(`{"alg":"HS256","typ":"JWT"}`), "jwt", "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"},
		"a token of npm":                {"//registry.npmjs.org/:_authToken=npm" + "_" + a36, "npm-token", a36},
		"a token of PyPI":               {"pypi-AgE" + "IcHlwaS5vcmcC" + a36 + a36, "pypi-token", a36},
		"a key of Stripe's":             {"sk_live" + "_" + a36[:24], "stripe-key", a36[:24]},
		"a token of Docker Hub":         {"dckr_pat" + "_" + a36[:27], "docker-token", a36[:27]},
		"a token of Vault":              {"hvs" + "." + a36, "vault-token", a36},
		"a key of Azure Storage":        {"AccountName=x;AccountKey=" + a36 + a36 + a36[:14] + "==;", "azure-storage-key", a36},
		"a key of SendGrid's":           {"SG" + "." + a36[:22] + "." + a36 + a36[:7], "sendgrid-key", a36[:22]},
		"a token of DigitalOcean":       {"dop_v1" + "_" + strings.Repeat("0f", 32), "digitalocean-token", strings.Repeat("0f", 32)},
		"a password in a URL":           {"postgres://app:hunter2@db:5432/app?sslmode=disable", "url-credentials", "hunter2"},
		"a password with an @ in a URL": {"https://app:hun@ter2@db/", "url-credentials", "ter2"},
		"a header":                      {`curl -H "Authorization: Bearer ` + a36 + `" https://x`, "authorization-header", a36},
		"a private key":                 {key, "private-key", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw"},
		"one in JSON":                   {`{"k":"` + strings.ReplaceAll(key, "\n", `\n`) + `"}`, "private-key", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw"},
		"one that is cut":               {key[:120], "private-key", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw"},
		"one of OpenSSH":                {pem("OPENSSH PRIVATE KEY"), "private-key", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw"},
		"one of OpenPGP":                {pem("PGP PRIVATE KEY BLOCK"), "private-key", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw"},
		"one in base64":                 {base64.StdEncoding.EncodeToString([]byte(key)), "private-key", "TUlJRXZRSUJB"},
	}
}

func TestKnownFormats(t *testing.T) {
	t.Parallel()
	for name, tt := range known() {
		for form, look := range map[string]func(string) secrets.Found{"text": secrets.Text, "command": secrets.Command, "variable": func(s string) secrets.Found { return secrets.Variable("X=" + s) }} {
			got := look(tt[0])
			if strings.Join(got.Kinds, " ") != tt[1] {
				t.Errorf("%s in a %s: %q, want %s", name, form, got.Kinds, tt[1])
			}
			if strings.Contains(got.Text, tt[2]) {
				t.Errorf("%s in a %s is still in %q", name, form, got.Text)
			}
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{"POSTGRES_PASSWORD=hunter2", "POSTGRES_PASSWORD=<masked>"},
		{"DBPASSWORD=abc", "DBPASSWORD=<masked>"},
		{"MYSQL_PWD=hunter2", "MYSQL_PWD=<masked>"},
		{"RABBITMQ_DEFAULT_PASS=hunter2", "RABBITMQ_DEFAULT_PASS=<masked>"},
		{"PASSWORD=correct horse battery", "PASSWORD=<masked>"},
		{"spring.datasource.password=hunter2", "spring.datasource.password=<masked>"},
		{"API_KEY=0123456789abcdef01234567", "API_KEY=<masked>"},
		{"NPM_TOKEN=" + a36, "NPM_TOKEN=<masked>"},
		{"JWT_SECRET=s3cr3t-s3cr3t", "JWT_SECRET=<masked>"},
		{"SECRET_KEY_BASE=" + a36, "SECRET_KEY_BASE=<masked>"},
		{"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz", "AWS_SECRET_ACCESS_KEY=<masked>"},
		{"JAVA_OPTS=-Xmx1g -Ddb.password=hunter2 -Dx=y", "JAVA_OPTS=-Xmx1g -Ddb.password=<masked> -Dx=y"},
		{"ConnectionStrings__db=Server=db;User Id=sa;Password=hunter2;", "ConnectionStrings__db=Server=db;User Id=sa;Password=<masked>;"},
		{"CALLBACK=https://x.example/?user=a&password=hunter2&b=c", "CALLBACK=https://x.example/?user=a&password=<masked>&b=c"},
		{"DATABASE_URL=mysql://root:hunter2@db/x", "DATABASE_URL=mysql://root:<masked>@db/x"},
	} {
		entry, want := tt[0], tt[1]
		if got := secrets.Variable(entry); got.Text != want || len(got.Kinds) == 0 {
			t.Errorf("%s: %q, %v, want %q", entry, got.Text, got.Kinds, want)
		}
	}
}

// What official images, Dockerfiles and people write that is no secret.
func TestWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{
		"GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D", "PYTHON_SHA256=ae1e4b2b0a6fa54d1a5b5a8d1e6ee8b3b2f8ec8f6d4a1b3c2d9e8f7a6b5c4d3e",
		"PATH=/usr/local/bin:/usr/bin", "PWD=/home/app/x", "OLDPWD=/srv/app", "NGINX_VERSION=1.27.3", "POSTGRES_PASSWORD_FILE=/run/secrets/postgres",
		"PASSWORD=", "PASSWORD=${PASSWORD}", "PASSWORD=$PASSWORD", "PASSWORD=$(cat /run/secrets/x)", "PASSWORD=<your password>", "PASSWORD=********",
		"PASSWORD=xxxxxxxx", "PASSWORD=changeme", "TOKEN=/var/run/secrets/kubernetes.io/serviceaccount/token", "TOKEN_URL=https://sso.example/token",
		"ALLOW_EMPTY_PASSWORD=yes", "MYSQL_RANDOM_ROOT_PASSWORD=true", "MAX_TOKEN=4096", "AUTH_TOKEN=disabled", "API_KEY={{ .Values.key }}",
		"PUBLIC_KEY=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE", "SECRET_NAME=my-secret-1", "PASSWORD_HASH=$2b$10$abcdefghijklmnopqrstuv", "SECRET=arn:aws:secretsmanager:eu-west-1:1:secret:x-1",
		"AWS_ACCESS_KEY_ID=AKIA" + "IOSFODNN7EXAMPLE", "BASE=docker://nginx:1.27@sha256:" + strings.Repeat("ab", 32), "URL=https://example.com:8080/path@v1",
		"URL=https://user:$TOKEN@example.com", "URL=https://user:${TOKEN}@example.com/", "URL=git@github.com:acme/app.git", "JAVA_OPTS=-Djavax.net.ssl.trustStorePassword=changeit",
		"PEM=-----BEGIN PRIVATE KEY-----", "CERT=" + pem("CERTIFICATE"), "KEY=" + pem("PUBLIC KEY"), "JWT=" + jwt(`{"alg":"none"}`),
	} {
		if got := secrets.Variable(entry); len(got.Kinds) > 0 || got.Text != entry {
			t.Errorf("%s is taken for %v", entry, got.Kinds)
		}
		if got := secrets.Command("RUN export " + strings.ReplaceAll(entry, "=", "='") + "'"); len(got.Kinds) > 0 {
			t.Errorf("%s in a command is taken for %v: %s", entry, got.Kinds, got.Text)
		}
	}
	for _, command := range []string{
		"RUN /bin/sh -c adduser --disabled-password --gecos '' app # buildkit", "RUN adduser --disabled-password app", "RUN docker login --password-stdin",
		"RUN curl --token $TOKEN https://x", "RUN --mount=type=secret,id=npm cat /run/secrets/npm", "RUN grep -q 'BEGIN PRIVATE KEY' /x",
		"RUN |1 NPM_TOKEN= /bin/sh -c npm ci # buildkit", `CMD ["serve" "--password-file" "/run/secrets/x"]`, "ENTRYPOINT [\"tini\" \"--\"]",
	} {
		if got := secrets.Command(command); len(got.Kinds) > 0 || got.Text != command {
			t.Errorf("%s is taken for %v: %s", command, got.Kinds, got.Text)
		}
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"RUN |1 NPM_TOKEN=" + a36 + " /bin/sh -c npm ci # buildkit":         "RUN |1 NPM_TOKEN=<masked> /bin/sh -c npm ci # buildkit",
		"|2 A=b PASSWORD=two words /bin/sh -c make":                         "|2 A=b PASSWORD=<masked> /bin/sh -c make",
		"/bin/sh -c #(nop)  ENV PASSWORD=correct horse battery":             "/bin/sh -c #(nop)  ENV PASSWORD=<masked>",
		"ENV PASSWORD=correct horse USER=app":                               "ENV PASSWORD=<masked> USER=app",
		"ARG PASSWORD=hunter2":                                              "ARG PASSWORD=<masked>",
		"RUN mysql --password=hunter2 -u root":                              "RUN mysql --password=<masked> -u root",
		"RUN login --password hunter2 --user x":                             "RUN login --password <masked> --user x",
		`RUN login --password "hunter 2" x`:                                 "RUN login --password <masked> x",
		`RUN PASSWORD="a\"b c" make`:                                        "RUN PASSWORD=<masked> make",
		`RUN PASSWORD=a"b c"d make`:                                         "RUN PASSWORD=<masked> make",
		`RUN PASSWORD="abc def`:                                             "RUN PASSWORD=<masked>",
		"RUN export PASSWORD=hunter2&&make":                                 "RUN export PASSWORD=<masked>&&make",
		"RUN |1 A=b /bin/sh -c PASSWORD=hunter2 make && true":               "RUN |1 A=b /bin/sh -c PASSWORD=<masked> make && true",
		"RUN git clone https://x-access-token:" + a36 + "@github.com/a/b":   "RUN git clone https://x-access-token:<masked>@github.com/a/b",
		"RUN PASSWORD=hunter2 TOKEN=ghp" + "_" + a36 + " sh":                "RUN PASSWORD=<masked> TOKEN=<masked> sh",
		"RUN echo ghp" + "_" + a36 + " ghp" + "_" + a36 + " > /root/.token": "RUN echo ghp_<masked> ghp_<masked> > /root/.token",
	} {
		if got := secrets.Command(command); got.Text != want || len(got.Kinds) == 0 {
			t.Errorf("%s:\n%q %v\nwant\n%q", command, got.Text, got.Kinds, want)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	got := secrets.Arguments([]string{"/app", "--password", "hunter2", "--token=" + a36, "--password", "$PASSWORD", "--secret", "--flag", "password"})
	var texts []string
	for _, f := range got {
		texts = append(texts, f.Text)
	}
	if want := "/app --password <masked> --token=<masked> --password $PASSWORD --secret --flag password"; strings.Join(texts, " ") != want {
		t.Errorf("%q", texts)
	}
}

// What was found under its name is masked where nothing says what it is, too.
func TestSeen(t *testing.T) {
	t.Parallel()
	var seen secrets.Seen
	if got := seen.Mask("nothing"); got != "nothing" {
		t.Errorf("%q", got)
	}
	seen.Add(secrets.Variable("A_PASSWORD=hunter2-hunter2"))
	seen.Add(secrets.Variable("B_PASSWORD=hunter2-hunter2-longer"))
	seen.Add(secrets.Variable("C_PASSWORD=run"))
	if got := seen.Mask("run login hunter2-hunter2-longer hunter2-hunter2"); got != "run login <masked> <masked>" {
		t.Errorf("%q", got)
	}
}

// Texts that are made to be looked at for long: what takes more than a little
// for each of their bytes does not come to an end here.
func TestHostileTextsAreNotSlow(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	for _, piece := range []string{
		"PASSWORD=b;", "A=b;", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----" + strings.Repeat("A", 40), "a://a:", "eyJhbGciOiJub25lIn0.",
		"--password ", "PASSWORD=\"", "A", "xoxb-1-", " A=", "LS0tLS1CRUdJTi", "PASSWORD=ab12cd34 ",
	} {
		text := "ENV " + strings.Repeat(piece, size/len(piece))
		var seen secrets.Seen
		seen.Add(secrets.Command(text))
		seen.Add(secrets.Variable("PASSWORD=" + text))
		if got := seen.Mask(text); len(got) > 2*len(text) {
			t.Errorf("%q: %d bytes", piece, len(got))
		}
	}
}

// Whatever the text is, looking at what was masked finds nothing more of the
// same, what is left is in its order, and no secret without a mark.
func FuzzCommand(f *testing.F) {
	for _, tt := range known() {
		f.Add(tt[0])
	}
	f.Add("RUN |1 PASSWORD=a b /bin/sh -c x --password 'y z' A_TOKEN=\"")
	f.Add("PASSWORD=\\")
	f.Add("-----BEGIN PRIVATE KEY----------BEGIN PRIVATE KEY-----" + strings.Repeat("A", 50))
	f.Fuzz(func(t *testing.T, text string) {
		for name, got := range map[string]secrets.Found{"command": secrets.Command(text), "text": secrets.Text(text), "variable": secrets.Variable(text), "argument": secrets.Arguments([]string{text})[0]} {
			if (got.Text == text) != (len(got.Kinds) == 0) && !strings.Contains(text, "<masked>") {
				t.Errorf("%s: %q became %q with %v", name, text, got.Text, got.Kinds)
			}
			rest := text
			for part := range strings.SplitSeq(got.Text, "<masked>") {
				at := strings.Index(rest, part)
				if at < 0 {
					t.Fatalf("%s: %q is not in %q in order", name, part, text)
				}
				rest = rest[at+len(part):]
			}
		}
	})
}
