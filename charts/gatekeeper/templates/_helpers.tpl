{{- define "gatekeeper.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- end }}

{{- define "gatekeeper.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gatekeeper.labels" -}}
{{ include "gatekeeper.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "gatekeeper.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "gatekeeper.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "gatekeeper.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- /* What the schema cannot refuse in words. The URL is not repeated: it may hold a password. */ -}}
{{- define "gatekeeper.checkStorage" -}}
{{- $replicas := int .Values.replicas }}
{{- with .Values.postgres }}
{{- if and (gt $replicas 1) (not .url) }}{{ fail (printf "replicas is %d, and the journal is a SQLite file, which one process opens; set postgres.url, or replicas to 1" $replicas) }}{{ end }}
{{- if and (or .existingSecret .caSecret) (not .url) }}{{ fail "postgres.existingSecret and postgres.caSecret are of no use without postgres.url" }}{{ end }}
{{- if or (regexMatch "^[a-z]+://[^/?#]*:[^/?#]*@" .url) (regexMatch "[?&]password=" .url) }}{{ fail "postgres.url holds a password; put it into a secret and name that as postgres.existingSecret" }}{{ end }}
{{- if and .caSecret (contains "sslrootcert=" .url) }}{{ fail "postgres.caSecret and sslrootcert in postgres.url exclude each other; keep one" }}{{ end }}
{{- if and .caSecret (not (regexMatch "[?&]sslmode=verify-(ca|full)(&|$)" .url)) }}{{ fail "postgres.caSecret counts only when postgres.url has sslmode=verify-full" }}{{ end }}
{{- end }}
{{- end }}

{{- define "gatekeeper.storageURL" -}}
{{- with .Values.postgres }}
{{- if not .url }}sqlite:///var/lib/gatekeeper/gatekeeper.db
{{- else if .caSecret }}{{ .url }}&sslrootcert=/run/secrets/gatekeeper/postgres-ca/ca.crt
{{- else }}{{ .url }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Whether a pod brings no vulnerability database with it and waits for one. */ -}}
{{- define "gatekeeper.fetchesDatabase" -}}
{{- if and .Values.postgres.url .Values.databaseUpdate.interval .Values.databaseUpdate.beforeStart }}true{{ end }}
{{- end }}

{{- define "gatekeeper.spread" -}}
{{- $own := dict "matchLabels" (include "gatekeeper.selector" . | fromYaml) }}
{{- $soft := dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway" }}
{{- $given := .Values.topologySpreadConstraints }}
{{- if and .Values.postgres.url (not $given) }}
{{- $given = list (merge (dict "topologyKey" "kubernetes.io/hostname") $soft) (merge (dict "topologyKey" "topology.kubernetes.io/zone") $soft) }}
{{- end }}
{{- range $given }}
- {{ toYaml (ternary . (merge (dict "labelSelector" $own) .) (hasKey . "labelSelector")) | nindent 2 | trim }}
{{- end }}
{{- end }}

{{- define "gatekeeper.configuration" -}}
apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: ":8080", admin: ":9090"}
admin:
  tokenFile: /run/secrets/gatekeeper/admin/token
  privateMetrics: {{ .Values.admin.privateMetrics }}
storage:
  url: {{ include "gatekeeper.storageURL" . | quote }}
  {{- if .Values.postgres.existingSecret }}
  passwordFile: /run/secrets/gatekeeper/postgres/password
  {{- end }}
  {{- with .Values.storage.keep }}
  keep: {{ . }}
  {{- end }}
policies: /etc/gatekeeper/policies
{{- with .Values.signing }}{{ if .existingSecret }}
{{- if get $.Values.config "signing" }}{{ fail "signing.existingSecret and config.signing exclude each other; keep one" }}{{ end }}
signing:
  key: /run/secrets/gatekeeper/signing/gatekeeper.key
  {{- if .passwordKey }}
  passwordFile: /run/secrets/gatekeeper/signing/password
  {{- end }}
  {{- with .verifierID }}
  verifierID: {{ . | quote }}
  {{- end }}
  {{- with .form }}
  form: {{ . }}
  {{- end }}
  {{- with .publicKeys }}
  publicKeys: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}{{ end }}
{{ toYaml .Values.config }}
{{- end }}

{{- define "gatekeeper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* A container that fetches the vulnerability database; more are further arguments. */ -}}
{{- define "gatekeeper.databaseUpdate" -}}
{{- with .root -}}
image: {{ include "gatekeeper.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: {{ concat (list "db" "update" "--config=/etc/gatekeeper/gatekeeper.yaml") $.more | toJson }}
{{- with .Values.extraEnv }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  requests: {cpu: 10m, memory: 64Mi}
  limits: {memory: 1Gi}
securityContext: {{- include "gatekeeper.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/gatekeeper/gatekeeper.yaml, subPath: gatekeeper.yaml, readOnly: true}
  - {name: data, mountPath: /var/lib/gatekeeper}
  - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
