{{- define "tandem.fullname" -}}
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

{{- define "tandem.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- if .part }}
app.kubernetes.io/component: {{ .part }}
{{- end }}
{{- end -}}

{{- define "tandem.labels" -}}
{{ include "tandem.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tandem
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "tandem.image" -}}
{{- $image := index .root.Values.image .part -}}
{{- $at := ternary (printf "@%s" $image.digest) (printf ":%s" (coalesce $image.tag .root.Values.image.tag .root.Chart.AppVersion)) (ne $image.digest "") -}}
{{- printf "%s%s%s" (ternary "" (printf "%s/" (trimSuffix "/" .root.Values.image.registry)) (empty .root.Values.image.registry)) $image.repository $at -}}
{{- end -}}

{{- define "tandem.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tandem.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tandem.configMap" -}}
{{- default (printf "%s-config" (include "tandem.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{- define "tandem.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .group }}
fsGroup: {{ .group }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "tandem.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Probes of a program, on its port for health and metrics. */}}
{{- define "tandem.probes" -}}
startupProbe:
  httpGet: {path: /health/live, port: admin}
  periodSeconds: 2
  failureThreshold: 90
livenessProbe:
  httpGet: {path: /health/live, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /health/ready, port: admin}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{- define "tandem.telemetry" -}}
- {name: TANDEM_LOG_LEVEL, value: {{ .Values.telemetry.logLevel | quote }}}
- {name: TANDEM_OTLP_ENDPOINT, value: {{ .Values.telemetry.otlpEndpoint | quote }}}
- {name: TANDEM_SAMPLE_RATIO, value: {{ .Values.telemetry.sampleRatio | quote }}}
{{- end -}}

{{/* How a client reaches sync-core and trusts it. */}}
{{- define "tandem.core" -}}
- {name: TANDEM_CORE, value: {{ printf "dns:///%s-synccore:9000" (include "tandem.fullname" .) | quote }}}
{{- if .Values.grpc.insecure }}
- {name: TANDEM_INSECURE_GRPC, value: "true"}
{{- else }}
- {name: TANDEM_CORE_CA, value: /run/secrets/grpc/ca.crt}
{{- end }}
{{- end -}}

{{/* What a pod has besides its containers. */}}
{{- define "tandem.placement" -}}
{{- $values := index .root.Values .part -}}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ .root.Values.topologySpread.topologyKey }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {{ include "tandem.selector" . | fromYaml | toJson }}}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Mistakes that a schema can't tell. */}}
{{- define "tandem.check" -}}
{{- if and (empty .Values.config) (empty .Values.existingConfigMap) -}}
{{- fail "config is empty: give tandem.yaml there, or the name of a ConfigMap in existingConfigMap" -}}
{{- end -}}
{{- if and .Values.config .Values.existingConfigMap -}}
{{- fail "config and existingConfigMap are both given: give one of them" -}}
{{- end -}}
{{- $config := fromYaml .Values.config -}}
{{- if hasKey $config "Error" -}}
{{- fail (printf "config is no YAML: %s" $config.Error) -}}
{{- end -}}
{{- range $number, $token := $config.accessTokens -}}
{{- if not (kindIs "map" $token) -}}
{{- fail (printf "config.accessTokens.%s is no reference such as {file: /run/secrets/tandem/…}" $number) -}}
{{- end -}}
{{- end -}}
{{- range $config.hookSecrets -}}
{{- if not (kindIs "map" .) -}}
{{- fail "config.hookSecrets holds something that is no reference such as {file: /run/secrets/tandem/hook-secret}" -}}
{{- end -}}
{{- end -}}
{{- range $config.connectors -}}
{{- $password := dig "alvao" "credentials" "password" (dict) . -}}
{{- if not (kindIs "map" $password) -}}
{{- fail (printf "the password of connector %s is no reference such as {file: /run/secrets/tandem/alvao-password}" .name) -}}
{{- end -}}
{{- end -}}
{{- if empty .Values.secrets.existingSecret -}}
{{- fail "secrets.existingSecret is empty: name the Secret with the hook secret, the Alvao password and the access tokens" -}}
{{- end -}}
{{- $tls := and .Values.grpc.tls.synccoreSecret .Values.grpc.tls.gatewaySecret -}}
{{- if and (not .Values.grpc.insecure) (not $tls) -}}
{{- fail "how gateway and sync-core are protected from each other's network is not said: give grpc.tls.synccoreSecret and grpc.tls.gatewaySecret, or grpc.insecure: true for plaintext" -}}
{{- end -}}
{{- if and .Values.grpc.insecure (or .Values.grpc.tls.synccoreSecret .Values.grpc.tls.gatewaySecret) -}}
{{- fail "grpc.insecure and grpc.tls are both given: give one of them" -}}
{{- end -}}
{{- if and .Values.grpc.insecure (empty .Values.secrets.gatewayTokenKey) -}}
{{- fail "the gateway has nothing to show to sync-core: give secrets.gatewayTokenKey, or grpc.tls" -}}
{{- end -}}
{{- $given := list -}}
{{- if .Values.redis.url -}}{{- $given = append $given "redis.url" -}}{{- end -}}
{{- if .Values.redis.existingSecret.name -}}{{- $given = append $given "redis.existingSecret" -}}{{- end -}}
{{- if .Values.redis.bundled.enabled -}}{{- $given = append $given "redis.bundled" -}}{{- end -}}
{{- if ne (len $given) 1 -}}
{{- fail (printf "give exactly one of redis.url, redis.existingSecret and redis.bundled, not %d of them" (len $given)) -}}
{{- end -}}
{{- end -}}
