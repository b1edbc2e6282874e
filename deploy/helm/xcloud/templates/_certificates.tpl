{{/* Names in a certificate, as lists `dns` and `ips`: where the aggregator is found, or the role that clients have. */}}
{{- define "xcloud.certificateNames" -}}
{{- $dns := list -}}
{{- $ips := list -}}
{{- if eq .part "aggregator" -}}
{{- $name := printf "%s-aggregator" (include "xcloud.fullname" .root) -}}
{{- $inside := printf "%s.%s" $name .root.Release.Namespace -}}
{{- $dns = list $name $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside) -}}
{{- range .root.Values.aggregator.service.externalNames -}}
{{- if or (contains ":" .) (regexMatch "^[0-9.]+$" .) -}}
{{- $ips = append $ips . -}}
{{- else -}}
{{- $dns = append $dns . -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- $dns = list (printf "%s.xcloud.internal" .part) -}}
{{- end -}}
{{- dict "dns" $dns "ips" $ips | toYaml -}}
{{- end -}}

{{/* Certificates by cert-manager, and an authority of the release's own unless another is named. */}}
{{- define "xcloud.certManager" -}}
{{- $full := include "xcloud.fullname" . -}}
{{- $manager := .Values.tls.certManager -}}
{{- $issuer := $manager.issuerRef | default (dict "name" (printf "%s-ca" $full) "kind" "Issuer" "group" "cert-manager.io") -}}
{{- if not $manager.issuerRef }}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: {{ $full }}-self-signed
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "xcloud.labels" (dict "root" . "component" "authority") | nindent 4 }}
spec:
  selfSigned: {}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $full }}-ca
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "xcloud.labels" (dict "root" . "component" "authority") | nindent 4 }}
spec:
  isCA: true
  commonName: {{ $full }} authority
  secretName: {{ $full }}-ca
  duration: 87600h
  privateKey:
    algorithm: ECDSA
    size: 256
  issuerRef:
    name: {{ $full }}-self-signed
    kind: Issuer
    group: cert-manager.io
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: {{ $full }}-ca
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "xcloud.labels" (dict "root" . "component" "authority") | nindent 4 }}
spec:
  ca:
    secretName: {{ $full }}-ca
{{- end }}
{{- range $part := list "aggregator" "agent" "collector" "operator" }}
{{- if or $.Values.aggregator.enabled (eq $part "agent") }}
{{- $names := include "xcloud.certificateNames" (dict "root" $ "part" $part) | fromYaml }}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $full }}-{{ $part }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "xcloud.labels" (dict "root" $ "component" $part) | nindent 4 }}
spec:
  secretName: {{ $full }}-{{ $part }}-tls
  duration: {{ $manager.duration }}
  renewBefore: {{ $manager.renewBefore }}
  privateKey:
    algorithm: ECDSA
    size: 256
    rotationPolicy: Always
  usages:
    - digital signature
    - {{ ternary "server auth" "client auth" (eq $part "aggregator") }}
  dnsNames:
    {{- toYaml $names.dns | nindent 4 }}
  {{- with $names.ips }}
  ipAddresses:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  issuerRef:
    {{- toYaml $issuer | nindent 4 }}
{{- end }}
{{- end }}
{{- end -}}
