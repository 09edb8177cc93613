{{- define "bearergate.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bearergate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bearergate.labels" -}}
{{ include "bearergate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "bearergate.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "bearergate.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "bearergate.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "bearergate.hasState" -}}
{{- if or .Values.state.url .Values.state.existingSecret.name -}}true{{- end -}}
{{- end -}}

{{/* The configuration of the gateway: what is said, and what the chart knows. */}}
{{- define "bearergate.config" -}}
{{- $said := .Values.config -}}
{{- if not $said.routes -}}
{{- fail "config.routes says which requests pass, and there is none: see docs/kubernetes.md" -}}
{{- end -}}
{{- $timeouts := $said.timeouts | default dict -}}
{{- if or (hasKey $timeouts "drain") (hasKey $timeouts "drain_delay") -}}
{{- fail "how long pods drain is said in drain.seconds and drain.delaySeconds, not in config.timeouts, so that Kubernetes is as patient" -}}
{{- end -}}
{{- $known := dict "version" 1
      "listen" (list (dict "address" (printf "0.0.0.0:%d" (int .Values.ports.http))))
      "ops" (dict "address" (printf "0.0.0.0:%d" (int .Values.ports.ops))) -}}
{{- if include "bearergate.hasState" . -}}
{{- $_ := set $known "state" (dict "url" "${STATE_URL}") -}}
{{- end -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $target := ternary (printf "unix:/run/app/%s" .Values.app.socket) (printf "http://127.0.0.1:%d" (int .Values.app.port)) (ne .Values.app.socket "") -}}
{{- $_ := set $known "upstreams" (dict "app" (dict "targets" (list $target))) -}}
{{- end -}}
{{- if .Values.admin.enabled -}}
{{- $_ := set $known "admin" (include "bearergate.admin" . | fromYaml) -}}
{{- end -}}
{{- $drain := dict "drain_delay" (printf "%ds" (int .Values.drain.delaySeconds)) "drain" (printf "%ds" (int .Values.drain.seconds)) -}}
{{- if lt (int .Values.drain.seconds) 10 -}}
{{- $_ := set $drain "drain_streams" ($timeouts.drain_streams | default (printf "%ds" (int .Values.drain.seconds))) -}}
{{- end -}}
{{- $_ := set $known "timeouts" $drain -}}
{{- $config := mergeOverwrite $known (deepCopy $said) -}}
{{- include "bearergate.hasPort" (list "config.listen" "ports.http" .Values.ports.http $config.listen) -}}
{{- include "bearergate.hasPort" (list "config.ops" "ports.ops" .Values.ports.ops (list $config.ops)) -}}
{{- if .Values.admin.enabled -}}
{{- include "bearergate.hasPort" (list "config.admin" "ports.admin" .Values.ports.admin (list $config.admin)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What the chart knows of the admin API. */}}
{{- define "bearergate.admin" -}}
{{- with .Values.admin -}}
{{- if not (or .existingSecret.name $.Values.config.admin) -}}
{{- fail "admin.enabled: say who may use it, by admin.existingSecret or in config.admin (docs/admin-api.md)" -}}
{{- end -}}
{{- if and .service.enabled (not .service.from) -}}
{{- fail "admin.service.from says who may reach the admin API, and nobody is named" -}}
{{- end -}}
address: {{ ternary "0.0.0.0" "127.0.0.1" .service.enabled }}:{{ int $.Values.ports.admin }}
{{- with .existingSecret }}
{{- if .name }}
token_file: /etc/gateway/secrets/{{ .name }}/{{ .key }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Fails unless one of several listeners is at the port that Service, probes and NetworkPolicy know. */}}
{{- define "bearergate.hasPort" -}}
{{- $found := false -}}
{{- range index . 3 -}}
{{- $found = or $found (hasSuffix (printf ":%d" (int (index $ 2))) .address) (contains "${" .address) -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "%s has no address with the port %d, which %s says" (index . 0) (int (index . 2)) (index . 1)) -}}
{{- end -}}
{{- end -}}

{{/* The Secrets that are mounted, each once. */}}
{{- define "bearergate.secrets" -}}
{{- $all := .Values.existingSecrets -}}
{{- if and .Values.admin.enabled .Values.admin.existingSecret.name -}}
{{- $all = append $all .Values.admin.existingSecret.name -}}
{{- end -}}
{{- uniq $all | toJson -}}
{{- end -}}

{{/* The container of the gateway; an initContainer with restartPolicy Always is a native sidecar. */}}
{{- define "bearergate.container" -}}
name: gateway
image: {{ include "bearergate.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, /etc/gateway/config/{{ include "bearergate.configKey" . }}]
{{- if eq .Values.mode "sidecar" }}
restartPolicy: Always
{{- end }}
ports:
  - {name: http, containerPort: {{ .Values.ports.http }}}
  - {name: ops, containerPort: {{ .Values.ports.ops }}}
{{- if and .Values.admin.enabled .Values.admin.service.enabled }}
  - {name: admin, containerPort: {{ .Values.ports.admin }}}
{{- end }}
{{- if or .Values.env (include "bearergate.hasState" .) }}
env:
  {{- if .Values.state.existingSecret.name }}
  - name: STATE_URL
    valueFrom:
      secretKeyRef: {name: {{ .Values.state.existingSecret.name }}, key: {{ .Values.state.existingSecret.key }}}
  {{- else if .Values.state.url }}
  - {name: STATE_URL, value: {{ .Values.state.url | quote }}}
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
startupProbe:
  httpGet: {path: /startupz, port: ops}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: ops}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- if eq .Values.mode "sidecar" }}
# A sidecar is told to stop when the application has ended: too late to drain. This tells it at once.
lifecycle:
  preStop:
    exec:
      command: [/opt/gateway/bin/python, -c, "import os, signal; os.kill(1, signal.SIGTERM)"]
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: config, mountPath: /etc/gateway/config, readOnly: true}
  {{- range $number, $name := include "bearergate.secrets" . | fromJsonArray }}
  - {name: secret-{{ $number }}, mountPath: /etc/gateway/secrets/{{ $name }}, readOnly: true}
  {{- end }}
  {{- if and (eq .Values.mode "sidecar") .Values.app.socket }}
  - {name: app-socket, mountPath: /run/app}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "bearergate.configKey" -}}
{{- ternary .Values.existingConfigMap.key "config.yaml" (ne .Values.existingConfigMap.name "") -}}
{{- end -}}

{{/* The application of mode sidecar. */}}
{{- define "bearergate.app" -}}
{{- with .Values.app -}}
name: app
image: {{ required "mode sidecar needs app.image: your application" .image | quote }}
imagePullPolicy: {{ .imagePullPolicy }}
{{- range $name := list "command" "args" "env" "envFrom" "startupProbe" "livenessProbe" "readinessProbe" "resources" "securityContext" }}
{{- with get $.Values.app $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
# It serves until the gateway has closed its door; what is under way then is its own to finish.
lifecycle:
  preStop:
    sleep: {seconds: {{ add (int $.Values.drain.delaySeconds) (int .preStopSeconds) }}}
{{- if or .volumeMounts .socket }}
volumeMounts:
  {{- if .socket }}
  - {name: app-socket, mountPath: /run/app}
  {{- end }}
  {{- with .volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
{{- end -}}
