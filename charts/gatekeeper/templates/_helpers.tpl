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

{{- define "gatekeeper.configuration" -}}
apiVersion: gatekeeper/v1alpha1
kind: Configuration
listen: {webhooks: ":8080", admin: ":9090"}
admin:
  tokenFile: /run/secrets/gatekeeper/admin/token
  privateMetrics: {{ .Values.admin.privateMetrics }}
storage: {url: "sqlite:///var/lib/gatekeeper/gatekeeper.db"}
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
