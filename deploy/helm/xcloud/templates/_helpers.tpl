{{/* Names are cut at 50 characters, so that parts of at most 13 fit behind them in a label. */}}
{{- define "xcloud.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "xcloud.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "xcloud.labels" -}}
{{ include "xcloud.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "xcloud.image" -}}
{{- $repository := required "image.repository: say where the image is; docs/install.md tells how to make and push it" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "xcloud.agentAccount" -}}
{{- .Values.agent.serviceAccount.name | default (printf "%s-agent" (include "xcloud.fullname" .)) -}}
{{- end -}}

{{- define "xcloud.aggregatorAccount" -}}
{{- .Values.aggregator.serviceAccount.name | default (printf "%s-aggregator" (include "xcloud.fullname" .)) -}}
{{- end -}}

{{/* Where agents find the aggregator. */}}
{{- define "xcloud.aggregatorAddress" -}}
{{- if .Values.agent.aggregator -}}
{{- .Values.agent.aggregator -}}
{{- else if .Values.aggregator.enabled -}}
{{- printf "%s-aggregator.%s.svc:%d" (include "xcloud.fullname" .) .Release.Namespace (int .Values.aggregator.port) -}}
{{- else -}}
{{- fail "agent.aggregator: say where the aggregator is, as this release runs none (aggregator.enabled is false)" -}}
{{- end -}}
{{- end -}}

{{- define "xcloud.aggregatorSecret" -}}
{{- if eq .Values.tls.method "existingSecret" -}}
{{- required "tls.aggregatorSecret: name the secret with the aggregator's certificate" .Values.tls.aggregatorSecret -}}
{{- else -}}
{{- printf "%s-aggregator-tls" (include "xcloud.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "xcloud.agentSecret" -}}
{{- if or (eq .Values.tls.method "existingSecret") .Values.tls.agentSecret -}}
{{- required "tls.agentSecret: name the secret with the agents' certificate" .Values.tls.agentSecret -}}
{{- else -}}
{{- printf "%s-agent-tls" (include "xcloud.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* Keys of the configuration that take effect without a restart. */}}
{{- define "xcloud.hotAgentKeys" -}}
log-level pod-interface queue rate uplink
{{- end -}}
{{- define "xcloud.hotAggregatorKeys" -}}
join-capacity join-window load-max-bytes load-max-duration load-max-rate load-max-usd log-level max-memory max-paths retention
{{- end -}}

{{/* A digest of all others: pods are restarted when it changes. */}}
{{- define "xcloud.coldConfig" -}}
{{- $cold := deepCopy .config -}}
{{- range splitList " " .hot -}}
{{- $_ := unset $cold . -}}
{{- end -}}
{{- toYaml $cold | sha256sum -}}
{{- end -}}

{{/* What containers are started with; a flag counts before the file, so that what is in both would be lost on the file. */}}
{{- define "xcloud.args" -}}
{{- range $key, $_ := .config -}}
{{- if regexMatch (printf "(?m)^- --%s(=|$)" $key) $.args -}}
{{- fail (printf "%s.config.%s would have no effect beside the flag --%s, which is set by another value, or by extraArgs" $.component $key $key) -}}
{{- end -}}
{{- end -}}
{{- .args -}}
{{- end -}}

{{/* Flags that name the certificate's files; the directory follows what the secret holds. */}}
{{- define "xcloud.tlsArgs" -}}
{{- if ne .Values.tls.method "none" }}
- --tls-cert=/etc/xcloud/tls/tls.crt
- --tls-key=/etc/xcloud/tls/tls.key
- --tls-ca=/etc/xcloud/tls/ca.crt
{{- end }}
{{- end -}}

{{/* A gRPC probe; clusters before 1.24 have none, there the port must be open. */}}
{{- define "xcloud.probe" -}}
{{- if semverCompare ">=1.24.0-0" .root.Capabilities.KubeVersion.Version -}}
grpc:
  port: {{ .port }}
  service: {{ .service }}
{{- else -}}
tcpSocket:
  port: {{ .port }}
{{- end }}
{{- end -}}

{{- define "xcloud.probes" -}}
startupProbe:
  {{- include "xcloud.probe" (merge (dict "service" "liveness") .) | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  {{- include "xcloud.probe" (merge (dict "service" "liveness") .) | nindent 2 }}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  {{- include "xcloud.probe" (merge (dict "service" "readiness") .) | nindent 2 }}
  periodSeconds: 5
{{- end -}}
