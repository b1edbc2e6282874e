{{/* What the agent is started with; `--flag=value`, so that each is one word. */}}
{{- define "xcloud.agentArgs" -}}
{{- $agent := .Values.agent -}}
- agent
- --config=/etc/xcloud/config/config.yaml
- --aggregator={{ include "xcloud.aggregatorAddress" . }}
{{- with .Values.site.cloud }}
- --cloud={{ . }}
{{- end }}
{{- with .Values.site.region }}
- --region={{ . }}
{{- end }}
{{- with .Values.site.zone }}
- --zone={{ . }}
{{- end }}
{{- if .Values.site.cluster }}
- --cluster={{ .Values.site.cluster }}
{{- else if $agent.aggregator }}
{{- fail "site.cluster: name this cluster, as agent.aggregator is set: there, agents of two clusters whose nodes have the same name take each other's place" }}
{{- end }}
{{- if not $agent.kubernetes }}
- --kubernetes=off
{{- end }}
- --cri-socket={{ ternary (printf "/run/cri/%s" $agent.criSocketName) "off" (ne $agent.criSocketDirectory "") }}
- --bpffs=/run/bpffs
- --kill-switch=/run/xcloud/off
- --pod-namespaces={{ or $agent.podNamespaces $agent.hostPID }}
- --health-listen=[$(POD_IP)]:{{ $agent.healthPort }}
{{- if .Values.metrics.enabled }}
- --metrics-listen=[$(POD_IP)]:{{ $agent.metricsPort }}
{{- end }}
{{- include "xcloud.tlsArgs" . }}
{{- if .Values.loadTests.agents }}
- --load-tests
- --load-address=$(POD_IP)
{{- end }}
{{- with $agent.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What the agent may do. */}}
{{- define "xcloud.agentSecurity" -}}
{{- $agent := .Values.agent -}}
runAsUser: 0
readOnlyRootFilesystem: true
{{- if eq $agent.securityMode "privileged" }}
privileged: true
{{- else }}
allowPrivilegeEscalation: false
capabilities:
  drop:
    - ALL
  add:
    - BPF
    - PERFMON
    - NET_ADMIN
    {{- if or $agent.podNamespaces $agent.hostPID }}
    - SYS_ADMIN
    {{- end }}
    {{- if $agent.hostPID }}
    - SYS_PTRACE
    {{- end }}
    {{- if $agent.lockedMemory }}
    - SYS_RESOURCE
    {{- end }}
    {{- with $agent.extraCapabilities }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
seccompProfile:
  {{- toYaml $agent.seccompProfile | nindent 2 }}
{{- end }}
{{- if and $agent.appArmorProfile (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) }}
appArmorProfile:
  type: {{ $agent.appArmorProfile | title }}
{{- end }}
{{- with $agent.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
