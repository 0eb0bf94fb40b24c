{{/* Variables of a pod. Takes root and role (single, api, worker, scheduler). */}}
{{- define "nexus.env" -}}
{{- $v := .root.Values -}}
{{- $full := include "nexus.fullname" .root -}}
{{- $front := has .role (list "single" "api") -}}
{{- $computes := has .role (list "single" "worker") -}}
# Not /app: the image declares volumes there, and runtimes put an empty folder on each.
- {name: NEXUS_DATA_DIR, value: /data}
- {name: NEXUS_LOG_DIR, value: /data/logs}
- {name: NEXUS_METRICS_LISTEN, value: ":9100"}
{{- if $front }}
- {name: NEXUS_LISTEN, value: ":8000"}
- {name: NEXUS_DRAIN_DELAY, value: {{ $v.drainDelay | quote }}}
{{- if $v.auth.existingSecret }}
- name: NEXUS_API_KEY
  valueFrom: {secretKeyRef: {name: {{ $v.auth.existingSecret }}, key: {{ $v.auth.apiKeyName }}}}
{{- if $v.auth.namedKeysName }}
- name: NEXUS_API_KEYS
  valueFrom: {secretKeyRef: {name: {{ $v.auth.existingSecret }}, key: {{ $v.auth.namedKeysName }}}}
{{- end }}
{{- if $v.auth.allowedHosts }}
- {name: NEXUS_ALLOWED_HOSTS, value: {{ join "," $v.auth.allowedHosts | quote }}}
{{- end }}
{{- else }}
- {name: NEXUS_ALLOW_PUBLIC, value: "true"}
{{- $names := list $full (printf "%s.%s" $full .root.Release.Namespace) (printf "%s.%s.svc" $full .root.Release.Namespace) (printf "%s.%s.svc.cluster.local" $full .root.Release.Namespace) }}
{{- if $v.ingress.enabled }}{{ $names = concat $names $v.ingress.hosts }}{{ end }}
- {name: NEXUS_ALLOWED_HOSTS, value: {{ join "," (concat $names $v.auth.allowedHosts) | quote }}}
{{- end }}
{{- end }}
{{- if $v.redis.existingSecret }}
- name: NEXUS_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ $v.redis.existingSecret }}, key: {{ $v.redis.urlName }}}}
{{- end }}
{{- if $v.s3.endpoint }}
- {name: NEXUS_S3_ENDPOINT, value: {{ $v.s3.endpoint | quote }}}
- {name: NEXUS_S3_BUCKET, value: {{ $v.s3.bucket | quote }}}
- {name: NEXUS_S3_REGION, value: {{ $v.s3.region | quote }}}
{{- with $v.s3.prefix }}
- {name: NEXUS_S3_PREFIX, value: {{ . | quote }}}
{{- end }}
- {name: NEXUS_S3_TLS, value: {{ $v.s3.tls | quote }}}
{{- if $v.s3.existingSecret }}
- name: NEXUS_S3_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ $v.s3.existingSecret }}, key: {{ $v.s3.accessKeyName }}}}
- name: NEXUS_S3_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ $v.s3.existingSecret }}, key: {{ $v.s3.secretKeyName }}}}
{{- end }}
{{- if eq (include "nexus.kept" .) "" }}
# The folder goes with the pod: nothing is acknowledged before it is in the bucket.
- {name: NEXUS_S3_STRICT, value: "true"}
- {name: NEXUS_CACHE_MB, value: {{ int64 $v.cache.megabytes | quote }}}
{{- end }}
{{- end }}
{{- if eq .role "worker" }}
- {name: NEXUS_CONCURRENCY, value: {{ $v.worker.concurrency | quote }}}
{{- end }}
{{- if and $computes $v.gpu.enabled }}
- {name: NEXUS_DEVICE, value: {{ $v.gpu.device }}}
{{- end }}
{{- range $name, $value := $v.settings }}
{{- /* Helm reads every number as a float, and would write 2000000 as 2e+06. */}}
{{- if and (kindIs "float64" $value) (eq $value (floor $value)) }}{{ $value = int64 $value }}{{ end }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whether the data folder outlives the pod: "yes" or nothing. */}}
{{- define "nexus.kept" -}}
{{- if and (eq .role "single") .root.Values.persistence.enabled }}yes{{ end -}}
{{- end -}}

{{/* Metadata and spec of a pod. Takes root, role and own, the values of the role. */}}
{{- define "nexus.pod" -}}
{{- $v := .root.Values -}}
{{- $front := has .role (list "single" "api") -}}
{{- $gpu := and $v.gpu.enabled (has .role (list "single" "worker")) -}}
metadata:
  labels:
    {{- include "nexus.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $v.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  # Kubernetes would set NEXUS_PORT and the like for a Service named nexus.
  enableServiceLinks: false
  automountServiceAccountToken: false
  serviceAccountName: {{ include "nexus.account" .root }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if and $gpu $v.gpu.runtimeClassName }}
  runtimeClassName: {{ $v.gpu.runtimeClassName }}
  {{- end }}
  securityContext: {{- toYaml $v.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  containers:
    - name: nexus
      image: {{ printf "%s:%s" $v.image.repository (ternary $v.gpu.tag $v.image.tag $gpu) | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: [{{ ternary "serve" .role (eq .role "single") }}]
      env: {{- include "nexus.env" . | nindent 8 }}
      ports:
        {{- if $front }}
        - {name: http, containerPort: 8000}
        {{- end }}
        - {name: metrics, containerPort: 9100}
      # A start may wait for the bucket, and loads a model.
      startupProbe:
        httpGet: {path: /healthz, port: {{ ternary "http" "metrics" $front }}}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: {path: /healthz, port: {{ ternary "http" "metrics" $front }}}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      {{- if $front }}
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 2
      {{- end }}
      {{- if $gpu }}
      {{- $resources := deepCopy .own.resources }}
      {{- $_ := set $resources "limits" (merge (dict $v.gpu.resourceName $v.gpu.count) (default dict $resources.limits)) }}
      resources: {{- toYaml $resources | nindent 8 }}
      {{- else }}
      resources: {{- toYaml .own.resources | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        {{- with $v.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    {{- if eq (include "nexus.kept" .) "" }}
    - name: data
      emptyDir: {sizeLimit: {{ $v.cache.sizeLimit }}}
    {{- else if $v.persistence.existingClaim }}
    - name: data
      persistentVolumeClaim: {claimName: {{ $v.persistence.existingClaim }}}
    {{- end }}
    - name: tmp
      emptyDir: {}
    {{- with $v.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- $nodes := .own.nodeSelector }}
  {{- $tolerations := .own.tolerations }}
  {{- if $gpu }}
  {{- $nodes = merge (deepCopy .own.nodeSelector) $v.gpu.nodeSelector }}
  {{- $tolerations = concat $tolerations $v.gpu.tolerations }}
  {{- end }}
  {{- with $nodes }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .own.affinity }}
  affinity: {{- toYaml .own.affinity | nindent 4 }}
  {{- else if ne .role "single" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "nexus.select" .root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
  {{- end }}
{{- end -}}
