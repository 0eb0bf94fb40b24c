{{/* What cannot work is refused here, with what to set. */}}
{{- define "nexus.check" -}}
{{- $v := .Values -}}
{{- if and (not $v.auth.existingSecret) (not $v.auth.allowPublic) -}}
{{- fail "\n\nauth.existingSecret is empty. A pod's address is public, so nexus wants a key:\n  kubectl create secret generic nexus-key --from-literal=api-key=\"$(docker run --rm nexus-continuum:latest apikey)\"\nand then --set auth.existingSecret=nexus-key; or --set auth.allowPublic=true to start without one.\n" -}}
{{- end -}}
{{- if and $v.s3.endpoint (not $v.s3.existingSecret) (not $v.s3.instanceRole) -}}
{{- fail "\n\ns3.endpoint is set, but no keys. Name a Secret with the entries access-key and secret-key in s3.existingSecret, or set s3.instanceRole=true.\n" -}}
{{- end -}}
{{- if eq $v.mode "fleet" -}}
{{- if not $v.redis.existingSecret -}}
{{- fail "\n\nmode=fleet needs a Redis that all pods share. Put its URL into a Secret:\n  kubectl create secret generic nexus-redis --from-literal=url=redis://user:password@host:6379/0\nand then --set redis.existingSecret=nexus-redis; or use mode=single, which brings its own.\n" -}}
{{- end -}}
{{- if not $v.s3.endpoint -}}
{{- fail "\n\nmode=fleet needs an S3 bucket that all pods share: set s3.endpoint (host:port), s3.bucket and s3.existingSecret; or use mode=single, which keeps everything in a volume.\n" -}}
{{- end -}}
{{- with $v.worker.autoscaling -}}
{{- if .enabled -}}
{{- if and (eq .type "keda") (not .prometheus.address) -}}
{{- fail "\n\nworker.autoscaling.type=keda asks Prometheus: set worker.autoscaling.prometheus.address, such as http://prometheus-operated.monitoring:9090.\n" -}}
{{- end -}}
{{- if not (or .targetAgeSeconds .targetBusyPercent (and (eq .type "keda") .targetDepth)) -}}
{{- fail "\n\nworker.autoscaling has no target: set targetAgeSeconds or targetBusyPercent (or targetDepth, with type=keda).\n" -}}
{{- end -}}
{{- if and (eq .type "hpa") .targetBusyPercent (not $v.worker.concurrency) -}}
{{- fail "\n\nworker.autoscaling.type=hpa with targetBusyPercent needs to know the slots of a worker: set worker.concurrency.\n" -}}
{{- end -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail "\n\nworker.autoscaling.minReplicas is more than maxReplicas.\n" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if and (not $v.persistence.enabled) (not $v.s3.endpoint) -}}
{{- fail "\n\npersistence.enabled=false without a bucket loses everything that was taught with the pod: set s3.endpoint, or leave persistence on.\n" -}}
{{- end -}}
{{- $own := list "NEXUS_LISTEN" "NEXUS_METRICS_LISTEN" "NEXUS_DATA_DIR" "NEXUS_LOG_DIR" "NEXUS_DRAIN_DELAY" "NEXUS_API_KEY" "NEXUS_API_KEYS" "NEXUS_ALLOW_PUBLIC" "NEXUS_ALLOWED_HOSTS" "NEXUS_REDIS_URL" "NEXUS_S3_ENDPOINT" "NEXUS_S3_BUCKET" "NEXUS_S3_REGION" "NEXUS_S3_PREFIX" "NEXUS_S3_TLS" "NEXUS_S3_STRICT" "NEXUS_S3_ACCESS_KEY" "NEXUS_S3_SECRET_KEY" "NEXUS_CACHE_MB" "NEXUS_CONCURRENCY" "NEXUS_DEVICE" -}}
{{- range $name, $_ := $v.settings -}}
{{- if has $name $own -}}
{{- fail (printf "\n\nsettings.%s: the chart sets this variable by a value of its own, see values.yaml.\n" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
