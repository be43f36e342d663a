{{/* What every pod of ours may: nothing. */}}
{{- define "rota.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "rota.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "rota.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* An environment variable from a Secret. */}}
{{- define "rota.secretEnv" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}

{{/* The database's address, and the authority of its certificate. */}}
{{- define "rota.databaseEnv" -}}
{{- $own := index .root.Values.database.services .component | default dict -}}
{{- $given := .root.Values.database.existingSecret -}}
{{- $secret := $own.name | default $given.name | default (printf "%s-database" (include "rota.fullname" .root)) -}}
{{- $key := $given.key -}}
{{- if $own.name }}{{ $key = default "url" $own.key }}{{ else if not $given.name }}{{ $key = "url" }}{{ end -}}
{{- include "rota.secretEnv" (dict "variable" "ROTA_DATABASE_URL" "secret" $secret "key" $key) }}
{{- if .root.Values.database.ca.secretName }}
- name: PGSSLROOTCERT
  value: /etc/rota/database/ca.crt
{{- end }}
{{- end -}}

{{/* A volume that is one file of a Secret, for the pod's group alone: mode 0440 is 288. */}}
{{- define "rota.fileVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 288
    items:
      - key: {{ .key }}
        path: {{ .file }}
{{- end -}}

{{/* A service's environment. */}}
{{- define "rota.env" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $fullname := include "rota.fullname" $root -}}
- name: ROTA_ADMIN_LISTEN
  value: {{ printf "%s:9464" $root.Values.listenAddress | quote }}
- name: {{ ternary "ROTA_HTTPS_LISTEN" "ROTA_LISTEN" (eq .component "gateway") }}
  value: {{ printf "%s:%d" $root.Values.listenAddress (int $service.port.number) | quote }}
- name: ROTA_LOG
  value: {{ $root.Values.logging.filter | quote }}
- name: ROTA_LOG_FORMAT
  value: {{ $root.Values.logging.format }}
- name: ROTA_SHUTDOWN_SECONDS
  value: {{ $service.shutdown.drainSeconds | int | quote }}
{{- with $root.Values.tracing.endpoint }}
- name: ROTA_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- range $file, $variable := dict "tls.crt" "ROTA_TLS_CERT" "tls.key" "ROTA_TLS_KEY" "ca.crt" "ROTA_TLS_CA" }}
- name: {{ $variable }}
  value: /etc/rota/tls/{{ $file }}
{{- end }}
{{- range $callee := $service.calls }}
{{- $port := index (index $.services $callee) "port" }}
{{- $url := printf "https://%s:%d" (include "rota.host" (dict "root" $root "component" $callee)) (int $port.number) }}
{{- $urls := list }}
{{- range until (int $root.Values.connectionsPerService) }}{{ $urls = append $urls $url }}{{ end }}
- name: ROTA_{{ upper $callee }}_URL
  value: {{ join "," $urls }}
{{- end }}
{{- if $service.database }}
{{ include "rota.databaseEnv" . }}
{{- end }}
{{- if $service.nats }}
{{- $nats := $root.Values.nats.existingSecret }}
{{ include "rota.secretEnv" (dict "variable" "ROTA_NATS_URL" "secret" ($nats.name | default (printf "%s-nats" $fullname)) "key" (ternary $nats.key "url" (ne $nats.name ""))) }}
{{- end }}
{{- if $root.Values.trustedCA.secretName }}
- name: SSL_CERT_FILE
  value: /etc/rota/trusted/ca.crt
{{- end }}
{{- if eq .component "gateway" }}
- name: ROTA_HTTPS_CERT
  value: /etc/rota/https/tls.crt
- name: ROTA_HTTPS_KEY
  value: /etc/rota/https/tls.key
- name: ROTA_PUBLIC_URL
  value: {{ $root.Values.publicUrl }}
{{- with $root.Values.gateway.trustedProxies }}
- name: ROTA_TRUSTED_PROXIES
  value: {{ join "," . }}
{{- end }}
{{- end }}
{{- if and (eq .component "accounts") $root.Values.signingKeys.peopleSecret }}
- name: ROTA_USER_SIGNING_KEY
  value: /etc/rota/signing/key.pem
{{- end }}
{{- if and (eq .component "deviceauth") $root.Values.signingKeys.devicesSecret }}
- name: ROTA_DEVICE_SIGNING_KEY
  value: /etc/rota/signing/key.pem
{{- end }}
{{- if $service.blobs }}
{{ include "rota.blobEnv" $root }}
{{- end }}
{{- range $variable, $value := $service.settings }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Where Artifacts and logs are kept, and the keys of links to them. */}}
{{- define "rota.blobEnv" -}}
- name: ROTA_LINK_KEYS
  value: /etc/rota/links/link-keys
{{- if eq .Values.objectStorage.mode "directory" }}
- name: ROTA_BLOB_DIR
  value: /var/lib/rota/blobs
{{- else }}
{{- $s3 := .Values.objectStorage.s3 }}
{{- $secret := $s3.existingSecret.name | default (printf "%s-s3" (include "rota.fullname" .)) }}
{{- $given := ne $s3.existingSecret.name "" }}
- name: ROTA_S3_BUCKET
  value: {{ $s3.bucket }}
- name: ROTA_S3_REGION
  value: {{ $s3.region }}
{{- with $s3.endpoint }}
- name: ROTA_S3_ENDPOINT
  value: {{ . }}
{{- end }}
{{- with $s3.publicEndpoint }}
- name: ROTA_S3_PUBLIC_ENDPOINT
  value: {{ . }}
{{- end }}
{{ include "rota.secretEnv" (dict "variable" "ROTA_S3_ACCESS_KEY" "secret" $secret "key" (ternary $s3.existingSecret.accessKey "access-key" $given)) }}
{{ include "rota.secretEnv" (dict "variable" "ROTA_S3_SECRET_KEY" "secret" $secret "key" (ternary $s3.existingSecret.secretKey "secret-key" $given)) }}
{{- end }}
{{- end -}}

{{/* A service's volumes: name, where it is seen, what it is. */}}
{{- define "rota.volumes" -}}
{{- $root := .root -}}
{{- $fullname := include "rota.fullname" $root -}}
{{- $internal := printf "%s-%s-internal-tls" $fullname .component -}}
{{- if eq $root.Values.internalTLS.mode "existingSecrets" }}{{ $internal = index $root.Values.internalTLS.existingSecrets .component }}{{ end -}}
- name: tls
  secret:
    secretName: {{ $internal }}
    defaultMode: 288
{{- if eq .component "gateway" }}
- name: https
  secret:
    secretName: {{ $root.Values.gateway.tls.existingSecret | default (printf "%s-gateway-https" $fullname) }}
    defaultMode: 288
{{- end }}
{{- with $root.Values.trustedCA }}{{ if .secretName }}
{{ include "rota.fileVolume" (dict "name" "trusted" "secret" .secretName "key" .key "file" "ca.crt") }}
{{- end }}{{ end }}
{{- if .service.database }}{{ with $root.Values.database.ca }}{{ if .secretName }}
{{ include "rota.fileVolume" (dict "name" "database" "secret" .secretName "key" .key "file" "ca.crt") }}
{{- end }}{{ end }}{{ end }}
{{- $signing := "" }}
{{- if eq .component "accounts" }}{{ $signing = $root.Values.signingKeys.peopleSecret }}{{ end }}
{{- if eq .component "deviceauth" }}{{ $signing = $root.Values.signingKeys.devicesSecret }}{{ end }}
{{- with $signing }}
{{ include "rota.fileVolume" (dict "name" "signing" "secret" . "key" "key.pem" "file" "key.pem") }}
{{- end }}
{{- if .service.blobs }}
{{ include "rota.fileVolume" (dict "name" "links" "secret" ($root.Values.linkKeys.existingSecret | default (printf "%s-link-keys" $fullname)) "key" "link-keys" "file" "link-keys") }}
{{- if eq $root.Values.objectStorage.mode "directory" }}
- name: blobs
  persistentVolumeClaim:
    claimName: {{ $root.Values.objectStorage.directory.existingClaim | default (printf "%s-blobs" $fullname) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where each volume is seen. Only blobs are written to. */}}
{{- define "rota.mounts" -}}
{{- range .volumes }}
- name: {{ .name }}
  mountPath: {{ ternary "/var/lib/rota/blobs" (printf "/etc/rota/%s" .name) (eq .name "blobs") }}
  {{- if ne .name "blobs" }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end -}}
