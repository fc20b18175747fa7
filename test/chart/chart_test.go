// Package chart_test renders the Helm chart with Helm's own library and checks
// what comes out against the types of the Kubernetes API.
package chart_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = "../../charts/gatekeeper"

// needed are the values that every installation gives.
const needed = "admin: {existingSecret: gatekeeper-admin}\n"

// everything switches every option on.
const everything = `
admin: {existingSecret: gatekeeper-admin, key: bearer, privateMetrics: true}
image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
imagePullSecrets: [{name: pull}]
policies:
  services.yaml: |
    kind: PromotionPolicy
policyKeys:
  ci.pub: |
    -----BEGIN PUBLIC KEY-----
secrets:
  - {name: registry, secretName: registry-credentials, items: [{key: .dockerconfigjson, path: config.json}]}
  - {name: notifications, secretName: gatekeeper-notifications}
signing: {existingSecret: gatekeeper-signing, key: own.key, passwordKey: secret, verifierID: "https://gatekeeper.example.com", form: tag, publicKeys: [/etc/gatekeeper/policies/keys/ci.pub]}
extraVolumes: [{name: sigstore, projected: {sources: [{serviceAccountToken: {audience: sigstore, path: token, expirationSeconds: 600}}]}}]
extraVolumeMounts: [{name: sigstore, mountPath: /run/secrets/sigstore, readOnly: true}]
persistence: {storageClass: fast, keep: false}
service: {type: LoadBalancer, annotations: {a: b}}
ingress: {enabled: true, className: nginx, host: hooks.example.com, tlsSecret: hooks-tls, annotations: {a: b}}
serviceAccount: {name: gate, annotations: {a: b}}
networkPolicy:
  webhooksFrom: [{ipBlock: {cidr: 192.0.2.0/24}}]
  adminFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  egressTo: [{ipBlock: {cidr: 198.51.100.0/24}}]
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboard: {enabled: true}
podAnnotations: {a: b}
podLabels: {team: security}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
`

// manifests are the rendered documents by kind.
type manifests map[string][]string

func render(t *testing.T, values string) (manifests, error) {
	t.Helper()
	files, err := renderFiles(t, values)
	if err != nil {
		return nil, err
	}
	found := manifests{}
	for name, text := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for doc := range strings.SplitSeq(text, "\n---\n") {
			var head metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, doc)
			}
			if head.Kind != "" {
				found[head.Kind] = append(found[head.Kind], doc)
			}
		}
	}
	return found, nil
}

// notes are what Helm says after an installation.
func notes(t *testing.T, values string) string {
	t.Helper()
	files, err := renderFiles(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return files["gatekeeper/templates/NOTES.txt"]
}

func renderFiles(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: "gate", Namespace: "security", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(c, given, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(c, all)
}

func mustRender(t *testing.T, values string) manifests {
	t.Helper()
	m, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// decode reads the only document of a kind strictly.
func decode[T any](t *testing.T, m manifests, kind string) T {
	t.Helper()
	if len(m[kind]) != 1 {
		t.Fatalf("%d documents of kind %s, want one", len(m[kind]), kind)
	}
	return strict[T](t, m[kind][0])
}

func strict[T any](t *testing.T, doc string) T {
	t.Helper()
	var v T
	if err := yaml.UnmarshalStrict([]byte(doc), &v); err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return v
}

// serviceMonitor and prometheusRule are the parts of the Prometheus operator's
// API (monitoring.coreos.com/v1) that the chart uses.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port          string `json:"port"`
			Path          string `json:"path"`
			Interval      string `json:"interval"`
			ScrapeTimeout string `json:"scrapeTimeout"`
			Authorization *struct {
				Credentials corev1.SecretKeySelector `json:"credentials"`
			} `json:"authorization"`
		} `json:"endpoints"`
	} `json:"spec"`
}

type prometheusRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"spec"`
}

func TestEveryDocumentIsValidForTheAPI(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{"needed values": needed, "every option": everything} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, docs := range mustRender(t, values) {
				for _, doc := range docs {
					switch kind {
					case "Deployment":
						strict[appsv1.Deployment](t, doc)
					case "Service":
						strict[corev1.Service](t, doc)
					case "ServiceAccount":
						strict[corev1.ServiceAccount](t, doc)
					case "ConfigMap":
						strict[corev1.ConfigMap](t, doc)
					case "PersistentVolumeClaim":
						strict[corev1.PersistentVolumeClaim](t, doc)
					case "NetworkPolicy":
						strict[networkingv1.NetworkPolicy](t, doc)
					case "Ingress":
						strict[networkingv1.Ingress](t, doc)
					case "ServiceMonitor":
						strict[serviceMonitor](t, doc)
					case "PrometheusRule":
						strict[prometheusRule](t, doc)
					default:
						t.Errorf("unexpected kind %s", kind)
					}
				}
			}
		})
	}
}

func TestOptionalPartsAreOffAtFirst(t *testing.T) {
	t.Parallel()
	got := slices.Sorted(maps.Keys(mustRender(t, needed)))
	want := []string{"ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Service", "ServiceAccount"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	all := slices.Sorted(maps.Keys(mustRender(t, everything)))
	for _, kind := range []string{"Ingress", "PrometheusRule", "ServiceMonitor"} {
		if !slices.Contains(all, kind) {
			t.Errorf("no %s with every option", kind)
		}
	}
	if claims := mustRender(t, needed+"persistence: {existingClaim: mine}\n")["PersistentVolumeClaim"]; len(claims) > 0 {
		t.Error("a claim is made although there is one")
	}
}

func TestContainersAreConfined(t *testing.T) {
	t.Parallel()
	for _, values := range []string{needed, everything} {
		pod := decode[appsv1.Deployment](t, mustRender(t, values), "Deployment").Spec.Template.Spec
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Error("the service account's token is mounted")
		}
		if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || *s.RunAsUser == 0 || *s.FSGroup == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("pod security %+v", s)
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !*s.RunAsNonRoot || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || s.Privileged != nil {
				t.Errorf("%s: security %+v", c.Name, s)
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: resources %+v", c.Name, c.Resources)
			}
		}
		if pod.HostNetwork || pod.HostPID {
			t.Error("the pod shares the host's namespaces")
		}
	}
}

func TestTheJournalHasOneWriter(t *testing.T) {
	t.Parallel()
	d := decode[appsv1.Deployment](t, mustRender(t, needed), "Deployment")
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, strategy %s", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
}

func TestProbesAskTheAdminListener(t *testing.T) {
	t.Parallel()
	c := decode[appsv1.Deployment](t, mustRender(t, needed), "Deployment").Spec.Template.Spec.Containers[0]
	for name, tt := range map[string]struct {
		probe *corev1.Probe
		path  string
	}{"liveness": {c.LivenessProbe, "/healthz"}, "readiness": {c.ReadinessProbe, "/readyz"}, "startup": {c.StartupProbe, "/healthz"}} {
		if tt.probe == nil || tt.probe.HTTPGet.Path != tt.path || tt.probe.HTTPGet.Port.StrVal != "admin" {
			t.Errorf("%s: %+v", name, tt.probe)
		}
	}
}

// Every mount has its volume, every volume what it is made from, every named
// port exists, and every selector finds the pod.
func TestReferencesResolve(t *testing.T) {
	t.Parallel()
	m := mustRender(t, everything)
	d := decode[appsv1.Deployment](t, m, "Deployment")
	pod := d.Spec.Template
	maps := map[string]corev1.ConfigMap{}
	for _, doc := range m["ConfigMap"] {
		c := strict[corev1.ConfigMap](t, doc)
		maps[c.Name] = c
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil && maps[v.ConfigMap.Name].Name == "" {
			t.Errorf("volume %s: no ConfigMap %s", v.Name, v.ConfigMap.Name)
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ConfigMap == nil {
					continue
				}
				for _, item := range s.ConfigMap.Items {
					if maps[s.ConfigMap.Name].Data[item.Key] == "" {
						t.Errorf("volume %s: no %s in ConfigMap %s", v.Name, item.Key, s.ConfigMap.Name)
					}
				}
			}
		}
	}
	ports := map[string]bool{}
	for _, c := range pod.Spec.Containers {
		for _, mount := range c.VolumeMounts {
			if !volumes[mount.Name] {
				t.Errorf("%s mounts %s, which is no volume", c.Name, mount.Name)
			}
		}
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
	}
	service := decode[corev1.Service](t, m, "Service")
	named := map[string]bool{}
	for _, p := range service.Spec.Ports {
		named[p.Name] = true
		if !ports[p.TargetPort.StrVal] {
			t.Errorf("the service's port %s leads to %s, which no container has", p.Name, p.TargetPort.StrVal)
		}
	}
	for _, e := range decode[serviceMonitor](t, m, "ServiceMonitor").Spec.Endpoints {
		if !named[e.Port] || e.Authorization.Credentials.Name != "gatekeeper-admin" || e.Authorization.Credentials.Key != "bearer" {
			t.Errorf("endpoint %+v", e)
		}
	}
	backend := decode[networkingv1.Ingress](t, m, "Ingress").Spec.Rules[0].HTTP.Paths[0]
	if backend.Path != "/webhooks/" || backend.Backend.Service.Name != service.Name || backend.Backend.Service.Port.Name != "webhooks" {
		t.Errorf("ingress %+v", backend)
	}
	for name, selector := range map[string]map[string]string{
		"deployment": d.Spec.Selector.MatchLabels, "service": service.Spec.Selector,
		"network policy":  decode[networkingv1.NetworkPolicy](t, m, "NetworkPolicy").Spec.PodSelector.MatchLabels,
		"service monitor": decode[serviceMonitor](t, m, "ServiceMonitor").Spec.Selector.MatchLabels,
	} {
		for k, v := range selector {
			if len(selector) == 0 || pod.Labels[k] != v {
				t.Errorf("%s: the selector %s=%s does not find the pod", name, k, v)
			}
		}
	}
	if account := decode[corev1.ServiceAccount](t, m, "ServiceAccount"); account.Name != pod.Spec.ServiceAccountName {
		t.Errorf("service account %s, want %s", pod.Spec.ServiceAccountName, account.Name)
	}
}

func TestAnotherConfigurationStartsThePodAnew(t *testing.T) {
	t.Parallel()
	checksum := func(values string) string {
		return decode[appsv1.Deployment](t, mustRender(t, values), "Deployment").Spec.Template.Annotations["checksum/config"]
	}
	if checksum(needed) == checksum(needed+"config: {workers: 3}\n") {
		t.Error("another configuration does not start the pod anew")
	}
	// The service follows its policies by itself.
	if checksum(needed) != checksum(needed+"policies: {a.yaml: x}\n") {
		t.Error("a new policy starts the pod anew")
	}
}

func TestMistakesInValuesAreRefused(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"":                                    "admin.existingSecret is required",
		needed + "replicas: 3\n":              "replicas",
		needed + "image: {digest: latest}\n":  "digest",
		needed + "service: {type: Public}\n":  "type",
		needed + "ingress: {enabled: true}\n": "host",
		needed + "config: {registries: []}\n": "registries",
		needed + "config: {storage: {url: x}, registries: [{name: a, url: b}]}\n":                                "storage",
		needed + "persistence: {accessModes: [ReadWriteMany]}\n":                                                 "accessModes",
		needed + "signing: {existingSecret: s}\nconfig: {signing: {key: /k}, registries: [{name: a, url: b}]}\n": "exclude each other",
		needed + "signing: {form: oci}\n":                                                                        "form",
		needed + "extraVolumes: [{emptyDir: {}}]\n":                                                              "name",
		needed + "extraVolumeMounts: [{name: a, mountPath: relative}]\n":                                         "mountPath",
		needed + "signing: {keyFile: /k}\n":                                                                      "keyFile",
		needed + "policyKeys: {ci.key: '-----BEGIN ENCRYPTED PRIVATE KEY-----'}\n":                               "policyKeys",
	} {
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", values, err, want)
		}
	}
}

// A token for keyless signing gets into the pod, and the further keys of the
// audit into the configuration.
func TestWhatSigningNeedsIsMounted(t *testing.T) {
	t.Parallel()
	pod := decode[appsv1.Deployment](t, mustRender(t, everything), "Deployment").Spec.Template.Spec
	if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
		return v.Name == "sigstore" && v.Projected.Sources[0].ServiceAccountToken.Audience == "sigstore"
	}) {
		t.Error("there is no volume with the token")
	}
	if !slices.ContainsFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/run/secrets/sigstore" }) {
		t.Error("the token is not mounted")
	}
	var c struct {
		Signing struct {
			Form       string
			PublicKeys []string
		}
	}
	if err := yaml.Unmarshal([]byte(configuration(t, everything)), &c); err != nil {
		t.Fatal(err)
	}
	if c.Signing.Form != "tag" || !slices.Equal(c.Signing.PublicKeys, []string{"/etc/gatekeeper/policies/keys/ci.pub"}) {
		t.Errorf("signing %+v", c.Signing)
	}
}

// The notes warn when nothing signs, whatever else the section holds, and say
// what a network policy has to allow.
func TestTheNotesWarn(t *testing.T) {
	t.Parallel()
	const registries = "registries: [{name: a, url: b}]"
	for values, want := range map[string]bool{
		needed: true,
		needed + "signing: {existingSecret: s}\n":                                  false,
		needed + "config: {signing: {publicKeys: [/k.pub]}, " + registries + "}\n": true,
		needed + "config: {signing: {key: 'awskms:///a'}, " + registries + "}\n":   false,
		needed + "config: {signing: {keyless: {issuer: i}}, " + registries + "}\n": false,
	} {
		if got := strings.Contains(notes(t, values), "Nothing signs"); got != want {
			t.Errorf("%q: warns: %v", values, got)
		}
	}
	if strings.Contains(notes(t, needed), "OCSP") || !strings.Contains(notes(t, everything), "OCSP") {
		t.Error("what a network policy has to allow is said at the wrong time")
	}
}

// Alerts and the dashboard ask only for metrics that are documented.
func TestMetricsThatAreAskedForExist(t *testing.T) {
	t.Parallel()
	documented, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var expressions []string
	for _, g := range decode[prometheusRule](t, mustRender(t, everything), "PrometheusRule").Spec.Groups {
		for _, r := range g.Rules {
			expressions = append(expressions, r.Expr)
		}
	}
	text, err := os.ReadFile(filepath.Join(chartDir, "dashboards", "gatekeeper.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	asked := 0
	for _, e := range expressions {
		for _, word := range strings.FieldsFunc(e, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
			if !strings.HasPrefix(word, "gatekeeper_") {
				continue
			}
			asked++
			if name := strings.TrimSuffix(word, "_bucket"); !strings.Contains(string(documented), fmt.Sprintf("`%s", name)) {
				t.Errorf("%s is not documented", name)
			}
		}
	}
	if asked == 0 {
		t.Error("no expression was found")
	}
}

// The configuration in the ConfigMap is one that the product accepts, with and
// without a key for summaries.
func TestTheConfigurationIsAccepted(t *testing.T) {
	t.Parallel()
	build := t.TempDir()
	binary := filepath.Join(build, "gatekeeper")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/gatekeeper")
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for values, warns := range map[string]bool{needed: true, needed + "signing: {existingSecret: s, verifierID: 'https://g.example'}\n": false} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"secrets/gatekeeper/admin/token": "token", "secrets/gatekeeper/notifications/staging": "secret",
			"secrets/gatekeeper/registry/config.json": "{}", "policies/.keep": "",
			"secrets/gatekeeper/signing/gatekeeper.key": key, "secrets/gatekeeper/signing/password": "secret",
			"gatekeeper.yaml": strings.NewReplacer("/run/secrets", dir+"/secrets", "/etc/gatekeeper", dir).Replace(configuration(t, values)),
		} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.CommandContext(t.Context(), binary, "config", "lint", filepath.Join(dir, "gatekeeper.yaml")).CombinedOutput()
		if err != nil || strings.Contains(string(out), "no signing key") != warns {
			t.Errorf("%v\n%s\n%s", err, out, configuration(t, values))
		}
	}
}

// configuration is the configuration file that values make.
func configuration(t *testing.T, values string) string {
	t.Helper()
	for _, doc := range mustRender(t, values)["ConfigMap"] {
		if c := strict[corev1.ConfigMap](t, doc); c.Data["gatekeeper.yaml"] != "" {
			return c.Data["gatekeeper.yaml"]
		}
	}
	t.Fatal("there is no configuration")
	return ""
}
