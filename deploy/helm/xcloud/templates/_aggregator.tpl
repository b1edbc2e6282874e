{{/* What the aggregator is started with. */}}
{{- define "xcloud.aggregatorArgs" -}}
{{- $aggregator := .Values.aggregator -}}
{{- $listen := $aggregator.listenAddress -}}
{{- if contains ":" $listen -}}
{{- $listen = printf "[%s]" $listen -}}
{{- end -}}
- aggregator
- --config=/etc/xcloud/config/config.yaml
- --listen={{ $listen }}:{{ $aggregator.port }}
- --listen=unix:/run/xcloud/aggregator.sock
- --health-listen={{ $listen }}:{{ $aggregator.healthPort }}
{{- if .Values.metrics.enabled }}
- --metrics-listen={{ $listen }}:{{ $aggregator.metricsPort }}
{{- end }}
{{- with .Values.metrics.labelTier }}
- --metrics-labels={{ . }}
{{- end }}
{{- if .Values.site.table }}
- --sites=/etc/xcloud/config/sites.csv
{{- end }}
{{- with .Values.otlp.endpoint }}
- --otlp-endpoint={{ . }}
{{- if and (hasPrefix "https://" .) (not $.Values.otlp.caSecret) }}
{{- fail "otlp.caSecret: name the secret with the authorities that vouch for otlp.endpoint, as it is https://" }}
{{- end }}
{{- end }}
{{- if .Values.otlp.caSecret }}
- --otlp-ca=/etc/xcloud/otlp-ca/ca.crt
{{- end }}
{{- if .Values.otlp.headersSecret }}
- --otlp-headers-file=/etc/xcloud/otlp-headers/headers
{{- end }}
{{- if eq .Values.tls.method "none" }}
- --insecure
{{- else }}
{{- include "xcloud.tlsArgs" . }}
{{- range $role, $names := .Values.tls.roles }}
{{- range $names }}
- --role={{ $role }}={{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- if $aggregator.loadTests }}
{{- if eq .Values.tls.method "none" }}
{{- fail "aggregator.loadTests is on, but tls.method is none: whoever reaches the port could have load sent. Set tls.method" }}
{{- end }}
- --allow-load-tests
- --load-max-rate={{ .Values.loadTests.maxRate }}
- --load-max-bytes={{ .Values.loadTests.maxBytes }}
- --load-results=/var/lib/xcloud/results
{{- end }}
{{- with $aggregator.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}
