package chart_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// shared puts the journal into PostgreSQL, with every option of that.
const shared = `
replicas: 3
postgres:
  url: "postgres://gatekeeper@db.example.com:5433/gatekeeper?sslmode=verify-full"
  existingSecret: gatekeeper-postgres
  passwordKey: pass
  caSecret: postgres-ca
  caKey: root.pem
storage: {keep: 90d}
`

// several are the values that several replicas need.
const several = needed + `
replicas: 2
postgres: {url: "postgres://gatekeeper@db.example.com/gatekeeper?sslmode=verify-full", existingSecret: gatekeeper-postgres}
`

func deployment(t *testing.T, values string) appsv1.Deployment {
	t.Helper()
	return decode[appsv1.Deployment](t, mustRender(t, values), "Deployment")
}

func container(t *testing.T, all []corev1.Container, name string) corev1.Container {
	t.Helper()
	i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no container %s", name)
	}
	return all[i]
}

func volume(t *testing.T, d appsv1.Deployment, name string) corev1.Volume {
	t.Helper()
	all := d.Spec.Template.Spec.Volumes
	i := slices.IndexFunc(all, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		t.Fatalf("there is no volume %s", name)
	}
	return all[i]
}

func TestASQLiteFileHasOneWriter(t *testing.T) {
	t.Parallel()
	m := mustRender(t, needed)
	d := decode[appsv1.Deployment](t, m, "Deployment")
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, strategy %s", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
	if claim := volume(t, d, "data").PersistentVolumeClaim; claim == nil {
		t.Error("the file is on no volume that outlives its pod")
	}
	pod := d.Spec.Template.Spec
	if len(pod.InitContainers) > 0 || len(pod.TopologySpreadConstraints) > 0 || len(m["PodDisruptionBudget"]) > 0 {
		t.Error("one pod with a volume has what only several pods need")
	}
}

func TestReplicasShareNothingButTheJournal(t *testing.T) {
	t.Parallel()
	m := mustRender(t, several+"persistence: {existingClaim: mine}\n")
	d := decode[appsv1.Deployment](t, m, "Deployment")
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			t.Errorf("the volume %s is a claim", v.Name)
		}
	}
	if len(m["PersistentVolumeClaim"]) > 0 || len(mustRender(t, several)["PersistentVolumeClaim"]) > 0 {
		t.Error("there is a claim")
	}
	if dir := volume(t, d, "data").EmptyDir; dir == nil || dir.SizeLimit == nil || dir.SizeLimit.String() != "8Gi" {
		t.Errorf("the vulnerability database is in %+v", dir)
	}
}

// A push is judged without a pause, whatever is rolled out or drained.
func TestReplicasAreReplacedOneByOne(t *testing.T) {
	t.Parallel()
	m := mustRender(t, everything+shared)
	d := decode[appsv1.Deployment](t, m, "Deployment")
	if *d.Spec.Replicas != 3 || d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		t.Fatalf("%d replicas, strategy %s", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
	if r := d.Spec.Strategy.RollingUpdate; r.MaxUnavailable.IntValue() != 0 || r.MaxSurge.IntValue() != 1 {
		t.Errorf("rolling update %+v", r)
	}
	budget := decode[policyv1.PodDisruptionBudget](t, m, "PodDisruptionBudget").Spec
	// A label of the version would leave out the pods that are replaced.
	if !maps.Equal(budget.Selector.MatchLabels, d.Spec.Selector.MatchLabels) {
		t.Errorf("the budget is about %v", budget.Selector.MatchLabels)
	}
	if budget.MaxUnavailable.IntValue() != 1 || budget.MinAvailable != nil || *budget.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
		t.Errorf("disruption budget %+v", budget)
	}
	if mustRender(t, several+"podDisruptionBudget: {enabled: false}\n")["PodDisruptionBudget"] != nil {
		t.Error("the budget cannot be switched off")
	}
}

// Kubernetes waits for what the service waits for: 5 seconds before it is told
// to stop, 20 for jobs to finish, 20 for those to end that do not, 2 to hand
// back the rest.
func TestThereIsTimeToStop(t *testing.T) {
	t.Parallel()
	pod := deployment(t, several).Spec.Template.Spec
	lifecycle := container(t, pod.Containers, "gatekeeper").Lifecycle
	if lifecycle == nil {
		t.Fatal("it stops while notifications are still sent to it")
	}
	stop := lifecycle.PreStop.Sleep
	if stop == nil || *pod.TerminationGracePeriodSeconds < stop.Seconds+20+20+2 {
		t.Errorf("%d seconds, of which it sleeps %+v", *pod.TerminationGracePeriodSeconds, stop)
	}
	if lifecycle := deployment(t, needed).Spec.Template.Spec.Containers[0].Lifecycle; lifecycle != nil {
		t.Error("one pod, which nobody stands in for, is away for longer than it has to be")
	}
	m, err := renderFor(t, "v1.29.4", several) // which knows no such action
	if err != nil {
		t.Fatal(err)
	}
	if lifecycle := decode[appsv1.Deployment](t, m, "Deployment").Spec.Template.Spec.Containers[0].Lifecycle; lifecycle != nil {
		t.Errorf("Kubernetes 1.29 refuses %+v", lifecycle)
	}
}

func TestReplicasAreSpreadWherePossible(t *testing.T) {
	t.Parallel()
	d := deployment(t, several)
	var keys []string
	for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
		keys = append(keys, c.TopologyKey)
		if c.MaxSkew != 1 || c.WhenUnsatisfiable != corev1.ScheduleAnyway || !maps.Equal(c.LabelSelector.MatchLabels, d.Spec.Selector.MatchLabels) {
			t.Errorf("constraint %+v", c)
		}
	}
	if !slices.Equal(keys, []string{"kubernetes.io/hostname", "topology.kubernetes.io/zone"}) {
		t.Errorf("spread over %v", keys)
	}
	own := deployment(t, several+`topologySpreadConstraints:
  - {maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}
  - {maxSkew: 1, topologyKey: host, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {team: security}}}
`).Spec.Template.Spec.TopologySpreadConstraints
	if len(own) != 2 || own[0].MaxSkew != 2 || !maps.Equal(own[0].LabelSelector.MatchLabels, d.Spec.Selector.MatchLabels) ||
		!maps.Equal(own[1].LabelSelector.MatchLabels, map[string]string{"team": "security"}) {
		t.Errorf("constraints of the values: %+v", own)
	}
}

// A pod takes jobs as soon as its service runs. It has a vulnerability database
// by then, in the volume that the service reads it from.
func TestAPodFetchesADatabaseBeforeItStarts(t *testing.T) {
	t.Parallel()
	pod := deployment(t, several).Spec.Template.Spec
	fetch := container(t, pod.InitContainers, "database-fetch")
	if want := []string{"db", "update", "--config=/etc/gatekeeper/gatekeeper.yaml"}; !slices.Equal(fetch.Args, want) {
		t.Errorf("it runs %v, want %v", fetch.Args, want)
	}
	for _, c := range []corev1.Container{fetch, container(t, pod.Containers, "database-update"), container(t, pod.Containers, "gatekeeper")} {
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "data" && m.MountPath == "/var/lib/gatekeeper" }) {
			t.Errorf("%s does not have the database's volume", c.Name)
		}
	}
	for _, values := range []string{several + "databaseUpdate: {beforeStart: false}\n", several + "databaseUpdate: {interval: 0}\n"} {
		if pod := deployment(t, values).Spec.Template.Spec; len(pod.InitContainers) > 0 {
			t.Errorf("%q: a pod waits for a database", values)
		}
	}
}

// The password is in a file of the one container that asks for it, and in
// nothing that is rendered.
func TestThePasswordComesFromASecretAlone(t *testing.T) {
	t.Parallel()
	d := deployment(t, everything+shared)
	secret := volume(t, d, "postgres").Secret
	if secret.SecretName != "gatekeeper-postgres" || !slices.Equal(secret.Items, []corev1.KeyToPath{{Key: "pass", Path: "password"}}) {
		t.Errorf("secret %+v", secret)
	}
	pod := d.Spec.Template.Spec
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		mounted := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.Name == "postgres" && m.ReadOnly && m.SubPath == "" // a subPath does not follow the secret
		})
		if mounted != (c.Name == "gatekeeper") {
			t.Errorf("%s has the password: %v", c.Name, mounted)
		}
		if env, err := json.Marshal(c.Env); err != nil || strings.Contains(string(env), "gatekeeper-postgres") {
			t.Errorf("%s has the password in its environment: %s %v", c.Name, env, err)
		}
	}
}

func TestTheStorageOfTheConfiguration(t *testing.T) {
	t.Parallel()
	const password = "/run/secrets/gatekeeper/postgres/password"
	type storage struct{ URL, PasswordFile, Keep string }
	for name, tt := range map[string]struct {
		values string
		want   storage
	}{
		"nothing":     {needed, storage{URL: "sqlite:///var/lib/gatekeeper/gatekeeper.db"}},
		"keep":        {needed + "storage: {keep: 30d}\n", storage{URL: "sqlite:///var/lib/gatekeeper/gatekeeper.db", Keep: "30d"}},
		"PostgreSQL":  {several, storage{URL: "postgres://gatekeeper@db.example.com/gatekeeper?sslmode=verify-full", PasswordFile: password}},
		"no password": {needed + "postgres: {url: 'postgresql:///gatekeeper?host=/sockets'}\n", storage{URL: "postgresql:///gatekeeper?host=/sockets"}},
		"everything": {everything + shared, storage{
			URL:          "postgres://gatekeeper@db.example.com:5433/gatekeeper?sslmode=verify-full&sslrootcert=/run/secrets/gatekeeper/postgres-ca/ca.crt",
			PasswordFile: password, Keep: "90d",
		}},
	} {
		var got struct{ Storage storage }
		if err := yaml.Unmarshal([]byte(configuration(t, tt.values)), &got); err != nil || got.Storage != tt.want {
			t.Errorf("%s: %v, got %+v, want %+v", name, err, got.Storage, tt.want)
		}
	}
	ca := volume(t, deployment(t, everything+shared), "postgres-ca").Secret
	if ca.SecretName != "postgres-ca" || !slices.Equal(ca.Items, []corev1.KeyToPath{{Key: "root.pem", Path: "ca.crt"}}) {
		t.Errorf("certificate authority %+v", ca)
	}
}

func TestTheNetworkPolicyLetsPodsReachPostgreSQL(t *testing.T) {
	t.Parallel()
	egress := func(values string) []networkingv1.NetworkPolicyEgressRule {
		return decode[networkingv1.NetworkPolicy](t, mustRender(t, values), "NetworkPolicy").Spec.Egress
	}
	const closed = "networkPolicy: {egressTo: [{ipBlock: {cidr: 198.51.100.0/24}}], postgresTo: [{ipBlock: {cidr: 192.0.2.7/32}}], postgresPort: 5433}\n"
	rules := egress(several + closed)
	i := slices.IndexFunc(rules, func(r networkingv1.NetworkPolicyEgressRule) bool {
		return len(r.To) == 1 && r.To[0].IPBlock.CIDR == "192.0.2.7/32"
	})
	if len(rules) != 3 || i < 0 || len(rules[i].Ports) != 1 || rules[i].Ports[0].Port.IntValue() != 5433 {
		t.Errorf("egress %+v", rules)
	}
	if rules := egress(needed + closed); len(rules) != 2 {
		t.Errorf("without PostgreSQL: %+v", rules)
	}
	if rules := egress(several); len(rules) != 1 || len(rules[0].To)+len(rules[0].Ports) > 0 {
		t.Errorf("open until egressTo is set: %+v", rules)
	}
	if text := notes(t, several+"networkPolicy: {egressTo: [{ipBlock: {cidr: 198.51.100.0/24}}]}\n"); !strings.Contains(text, "holds PostgreSQL,") {
		t.Errorf("the notes do not name PostgreSQL:\n%s", text)
	}
}

func TestMistakesAboutTheJournalAreRefused(t *testing.T) {
	t.Parallel()
	const verified = "postgres://gatekeeper@db/gatekeeper?sslmode=verify-full"
	for values, want := range map[string]string{
		"replicas: 3\n":  "set postgres.url, or replicas to 1",
		"replicas: -1\n": "replicas",
		"postgres: {url: 'sqlite:///var/lib/gatekeeper/gatekeeper.db'}\n":                        "url",
		"postgres: {url: 'postgres://gatekeeper:hunter2@db:5432/gatekeeper'}\n":                  "holds a password",
		"postgres: {url: 'postgres://db:5432/gatekeeper?user=gatekeeper&password=hunter2'}\n":    "holds a password",
		"postgres: {existingSecret: s}\n":                                                        "without postgres.url",
		"postgres: {url: '" + verified + "', password: hunter2}\n":                               "password",
		"postgres: {url: 'postgres://gatekeeper@db/gatekeeper?sslmode=require', caSecret: ca}\n": "sslmode=verify-full",
		"postgres: {url: '" + verified + "&sslrootcert=/ca.crt', caSecret: ca}\n":                "exclude each other",
		"storage: {url: x}\n":                        "url",
		"podDisruptionBudget: {maxUnavailable: 0}\n": "maxUnavailable",
		"terminationGracePeriodSeconds: 30\n":        "terminationGracePeriodSeconds",
	} {
		_, err := render(t, needed+values)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", values, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error repeats the password: %v", values, err)
		}
	}
	for _, values := range []string{"replicas: 0\n", "postgres: {url: 'postgres://gatekeeper@one:5432,two:5433/gatekeeper?sslmode=verify-full'}\nreplicas: 2\n"} {
		if _, err := render(t, needed+values); err != nil {
			t.Errorf("%q: %v", values, err)
		}
	}
}

func TestTheNotesSayWhereTheJournalIs(t *testing.T) {
	t.Parallel()
	if text := notes(t, several); !strings.Contains(text, "replicas: 2") || !strings.Contains(text, "database-fetch") || strings.Contains(text, "not verified") {
		t.Errorf("several replicas:\n%s", text)
	}
	for _, query := range []string{"", "?sslmode=require", "?sslmode=verify-full-not"} {
		if text := notes(t, needed+"postgres: {url: 'postgres://gatekeeper@db/gatekeeper"+query+"'}\n"); !strings.Contains(text, "not verified") {
			t.Errorf("%s: the server is not verified, and nobody is told:\n%s", query, text)
		}
	}
	if strings.Contains(notes(t, needed), "PostgreSQL") {
		t.Error("a SQLite file has notes about PostgreSQL")
	}
}
