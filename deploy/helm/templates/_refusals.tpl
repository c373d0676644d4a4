{{/*
What cannot work, or would go wrong unnoticed: all of it in one message. What the schema can say is not here.
*/}}
{{- define "orqen.refuse" -}}
{{- $wrong := list -}}
{{- $values := .Values -}}
{{- $files := $values.config.files -}}
{{- $several := or $values.autoscaling.enabled (gt (int $values.replicas) 1) -}}
{{- $secrets := or $values.secrets.env $values.secrets.files -}}

{{- if not $values.image.repository -}}
  {{- $wrong = append $wrong "image.repository is not set: the registry to which you have pushed the image of deploy/Containerfile" -}}
{{- end -}}
{{- if not (or $secrets $values.allow.noSecrets) -}}
  {{- $wrong = append $wrong "secrets.env and secrets.files name no Secret, so no provider has a key: name one, or set allow.noSecrets if none needs a key" -}}
{{- end -}}
{{- if and $values.persistence.enabled $several -}}
  {{- $wrong = append $wrong "persistence is for one replica: set replicas to 1 and autoscaling.enabled to false, or use PostgreSQL and a store of limits" -}}
{{- end -}}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) -}}
  {{- $wrong = append $wrong "autoscaling.minReplicas is above autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and $values.autoscaling.enabled (not $values.autoscaling.metrics) (not $values.autoscaling.targetCPU) -}}
  {{- $wrong = append $wrong "autoscaling has nothing to go by: set targetCPU or metrics" -}}
{{- end -}}
{{- if and $values.autoscaling.enabled $values.autoscaling.targetCPU (not (($values.resources).requests).cpu) -}}
  {{- $wrong = append $wrong "autoscaling.targetCPU is a share of resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- $memory := toString (((($values.resources).limits).memory) | default "") -}}
{{- $each := $values.server.workerMemory -}}
{{- if and $memory $each -}}
  {{- if ge (mulf $values.server.workers (include "orqen.bytes" $each | float64)) (include "orqen.bytes" $memory | float64) -}}
    {{- $wrong = append $wrong "server.workerMemory, taken server.workers times, is not below resources.limits.memory: the container would be killed before a worker is replaced" -}}
  {{- end -}}
{{- end -}}
{{- $size := 0 -}}
{{- range $files -}}{{- $size = add $size (len .) -}}{{- end -}}
{{- if gt $size 1048576 -}}
  {{- $wrong = append $wrong (printf "config.files has %d bytes, and a ConfigMap holds 1048576: leave out what is not needed, such as models of prices.yaml" $size) -}}
{{- end -}}
{{- $loopback := list "127.0.0.1" "::1" "localhost" -}}
{{- if has $values.server.host $loopback -}}
  {{- $wrong = append $wrong "server.host is a loopback address, which nobody reaches: take 0.0.0.0, or :: for IPv6" -}}
{{- end -}}
{{- $ports := list 8080 -}}
{{- range list $values.metrics $values.admin -}}
  {{- if .enabled -}}{{- $ports = append $ports (int .port) -}}{{- end -}}
{{- end -}}
{{- if ne (len $ports) (len (uniq $ports)) -}}
  {{- $wrong = append $wrong "the API, metrics and admin need a port each; the API has 8080" -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
  {{- $wrong = append $wrong "ingress.hosts is empty" -}}
{{- end -}}
{{- if and $values.tls.clientCertificates (not $values.tls.existingSecret) -}}
  {{- $wrong = append $wrong "tls.clientCertificates needs tls.existingSecret" -}}
{{- end -}}
{{- range $name, $part := omit $values.metrics "enabled" "port" -}}
  {{- if and $part.enabled (ne $name "dashboard") (not $values.metrics.enabled) -}}
    {{- $wrong = append $wrong (printf "metrics.%s.enabled needs metrics.enabled" $name) -}}
  {{- end -}}
{{- end -}}

{{- if $values.config.existingConfigMap -}}
  {{- if $files -}}
    {{- $wrong = append $wrong "config.files and config.existingConfigMap are both set: give one" -}}
  {{- end -}}
  {{- if and $several (not $values.allow.uncheckedConfig) -}}
    {{- $wrong = append $wrong "several replicas share accounts only in PostgreSQL and limits only in a store, and the chart cannot read config.existingConfigMap: see to it, and set allow.uncheckedConfig" -}}
  {{- end -}}
{{- else -}}
  {{- range list "routes.yaml" "providers.yaml" -}}
    {{- if not (hasKey $files .) -}}
      {{- $wrong = append $wrong (printf "config.files has no %s" .) -}}
    {{- end -}}
  {{- end -}}
  {{- $parsed := dict -}}
  {{- range $name, $text := $files -}}
    {{- if has $name (list "server.yaml" "keys.yaml") -}}
      {{- $one := fromYaml $text -}}
      {{- if hasKey $one "Error" -}}
        {{- $wrong = append $wrong (printf "config.files: %s is no YAML: %s" $name $one.Error) -}}
      {{- else -}}
        {{- $_ := set $parsed $name $one -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $server := get $parsed "server.yaml" | default dict -}}
  {{- $keys := get $parsed "keys.yaml" | default dict -}}
  {{- range $name := list "accounts" "admin" "limits" "metrics" "tls" -}}
    {{- $part := get $server $name -}}
    {{- if and $part (not (kindIs "map" $part)) -}}
      {{- $wrong = append $wrong (printf "%s in server.yaml is no mapping" $name) -}}
      {{- $_ := unset $server $name -}}
    {{- end -}}
  {{- end -}}
  {{- $listed := $keys.keys | default list -}}
  {{- $others := 0 -}}
  {{- if kindIs "slice" $listed -}}
    {{- range $listed -}}{{- if not (kindIs "map" .) -}}{{- $others = 1 -}}{{- end -}}{{- end -}}
  {{- end -}}
  {{- if or $others (not (kindIs "slice" $listed)) -}}
    {{- $wrong = append $wrong "keys in keys.yaml is no list of mappings" -}}
    {{- $listed = list -}}
  {{- end -}}
  {{- $accounts := $server.accounts | default dict -}}
  {{- if not (or (hasKey $files "keys.yaml") $accounts) -}}
    {{- $wrong = append $wrong "nobody could call: config.files has neither a keys.yaml nor a server.yaml with accounts" -}}
  {{- end -}}

  {{- $limited := or $accounts $keys.limits -}}
  {{- range $listed -}}
    {{- if .limits -}}{{- $limited = true -}}{{- end -}}
  {{- end -}}
  {{- $limits := $server.limits | default dict -}}
  {{- if and $several $limited (not $limits.store) (not $values.allow.limitsPerReplica) -}}
    {{- $wrong = append $wrong "several replicas would each admit the whole limit: give server.yaml a limits.store, or set allow.limitsPerReplica" -}}
  {{- end -}}
  {{- if and $limits.file (not (kindIs "string" $limits.file)) -}}
    {{- $wrong = append $wrong "limits.file in server.yaml is no text" -}}
  {{- else if and $limits.file (not (hasPrefix "/var/lib/orqen/" $limits.file)) -}}
    {{- $wrong = append $wrong "limits.file in server.yaml must be below /var/lib/orqen, which persistence.enabled makes: nothing else can be written" -}}
  {{- end -}}
  {{- if and $limits.file (not $values.persistence.enabled) -}}
    {{- $wrong = append $wrong "limits.file in server.yaml needs persistence.enabled" -}}
  {{- end -}}

  {{- $database := $accounts.database | default "" -}}
  {{- if and (kindIs "string" $database) (hasPrefix "sqlite:" $database) -}}
    {{- if $several -}}
      {{- $wrong = append $wrong "accounts in SQLite are for one replica: set replicas to 1 and autoscaling.enabled to false, or use PostgreSQL" -}}
    {{- end -}}
    {{- if not $values.persistence.enabled -}}
      {{- $wrong = append $wrong "accounts in SQLite need persistence.enabled, or they are lost with the pod" -}}
    {{- end -}}
    {{- if not (hasPrefix "sqlite:////var/lib/orqen/" $database) -}}
      {{- $wrong = append $wrong "the database of accounts must be below /var/lib/orqen: sqlite:////var/lib/orqen/orqen.db" -}}
    {{- end -}}
  {{- end -}}
  {{- if and $accounts (not $secrets) -}}
    {{- $wrong = append $wrong "accounts need a vault key, from a Secret that secrets.env or secrets.files names" -}}
  {{- end -}}

  {{- range $name, $default := dict "metrics" 9464 "admin" 8081 -}}
    {{- $here := index $values $name -}}
    {{- $there := get $server $name -}}
    {{- if and $here.enabled (not (hasKey $server $name)) -}}
      {{- $wrong = append $wrong (printf "%s.enabled needs %s in server.yaml" $name $name) -}}
    {{- else if $here.enabled -}}
      {{- $there = $there | default dict -}}
      {{- if has ($there.host | default "127.0.0.1") $loopback -}}
        {{- $wrong = append $wrong (printf "%s in server.yaml listens on a loopback address: write host: 0.0.0.0" $name) -}}
      {{- end -}}
      {{- if ne (int ($there.port | default $default)) (int $here.port) -}}
        {{- $wrong = append $wrong (printf "%s.port is not the port of %s in server.yaml" $name $name) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}

  {{- if and $server.tls (not $values.tls.existingSecret) -}}
    {{- $wrong = append $wrong "tls in server.yaml needs tls.existingSecret, also for the probes" -}}
  {{- end -}}
  {{- if and $values.tls.existingSecret (not $server.tls) -}}
    {{- $wrong = append $wrong "tls.existingSecret needs tls in server.yaml, with /etc/orqen-tls/tls.crt and tls.key" -}}
  {{- end -}}
  {{- if and $server.tls $values.tls.existingSecret -}}
    {{- range list "certificate" "key" -}}
      {{- if not (hasPrefix "/etc/orqen-tls/" (toString (get $server.tls .))) -}}
        {{- $wrong = append $wrong (printf "tls.%s in server.yaml must be below /etc/orqen-tls, where tls.existingSecret is mounted" .) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- if ne (hasKey ($server.tls | default dict) "client_ca") $values.tls.clientCertificates -}}
    {{- $wrong = append $wrong "tls.clientCertificates must be true if server.yaml has client_ca, and false if not" -}}
  {{- end -}}
{{- end -}}

{{- if $wrong -}}
  {{- fail (printf "\n\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}
