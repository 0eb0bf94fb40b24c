{{- define "nexus.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nexus.select" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "nexus.labels" -}}
{{ include "nexus.select" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The component that answers HTTP. */}}
{{- define "nexus.front" -}}
{{- if eq .Values.mode "fleet" }}api{{ else }}single{{ end -}}
{{- end -}}

{{- define "nexus.account" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "nexus.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end -}}

{{/* Labels of this installation's series in Prometheus. */}}
{{- define "nexus.series" -}}
{{- with .Values.worker.autoscaling.prometheus.selector }}{{ . }}{{ else }}namespace="{{ $.Release.Namespace }}",service="{{ include "nexus.fullname" $ }}-metrics"{{ end -}}
{{- end -}}
