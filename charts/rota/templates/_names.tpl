{{/* The beginning of every object's name: short enough for all that is put behind it. */}}
{{- define "rota.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $joined := printf "%s-%s" .Release.Name $chart -}}
{{- if contains $chart .Release.Name }}{{ $joined = .Release.Name }}{{ end -}}
{{- default $joined .Values.fullnameOverride | replace "." "-" | trunc 38 | trimSuffix "-" -}}
{{- end -}}

{{/* What tells a component's pods from all others, in this release and in every other one.
     Deployments cannot change it: nothing here may depend on the version. */}}
{{- define "rota.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "rota.labels" -}}
{{ include "rota.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: rota
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* name, namespace and labels of a component's object; `suffix` where it has several of a kind. */}}
{{- define "rota.metadata" -}}
name: {{ include "rota.fullname" .root }}-{{ .component }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "rota.labels" . | nindent 2 }}
{{- end -}}

{{/* An image, by the name of its program. */}}
{{- define "rota.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .program }}:{{ default .root.Chart.AppVersion .root.Values.image.tag }}
{{- end -}}

{{/* A service's name within the cluster, which is also in its certificate. */}}
{{- define "rota.host" -}}
{{ include "rota.fullname" .root }}-{{ .component }}.{{ .root.Release.Namespace }}.svc
{{- end -}}

{{/* The host of publicUrl, without a port. */}}
{{- define "rota.publicHost" -}}
{{- regexReplaceAll "^https://(\\[[^]]*\\]|[^/:]*).*$" .Values.publicUrl "${1}" | trimAll "[]" -}}
{{- end -}}
