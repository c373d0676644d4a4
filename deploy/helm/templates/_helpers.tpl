{{- define "orqen.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "orqen.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "orqen.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "orqen.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "orqen.selector" -}}
app.kubernetes.io/name: {{ include "orqen.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "orqen.labels" -}}
{{ include "orqen.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "orqen.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "orqen.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "orqen.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "orqen.configMap" -}}
{{- .Values.config.existingConfigMap | default (printf "%s-config" (include "orqen.fullname" .)) -}}
{{- end -}}

{{/* Seconds that a pod may take to stop: the drain of the server, and time to exit. */}}
{{- define "orqen.grace" -}}
{{- add (ceil .Values.server.drainDelay) .Values.server.drainTimeout 10 -}}
{{- end -}}

{{/* The bytes that a quantity of Kubernetes, or a size of the server, stands for. */}}
{{- define "orqen.bytes" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $number := regexFind "^[0-9.]+([eE][+-]?[0-9]+)?" . -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number . | trimSuffix "B")) -}}
{{- end -}}

{{/* What a change of replaces the pods. */}}
{{- define "orqen.checksum" -}}
{{- $files := .Values.config.files -}}
{{- if eq .Values.config.restartOn "server" -}}{{- $files = pick $files "server.yaml" -}}{{- end -}}
{{- $files | toJson | sha256sum -}}
{{- end -}}

{{/* How a probe asks for a path. Where callers need certificates, it can only connect. */}}
{{- define "orqen.probe" -}}
{{- if .root.Values.tls.clientCertificates -}}
tcpSocket: {port: api}
{{- else -}}
httpGet: {path: {{ .path }}, port: api, scheme: {{ ternary "HTTPS" "HTTP" (ne .root.Values.tls.existingSecret "") }}}
{{- end -}}
{{- end -}}
