{{/* All services: files/services.yaml, each with what values.yaml says of it. */}}
{{- define "rota.services" -}}
{{- $root := . -}}
{{- range $name, $facts := .Files.Get "files/services.yaml" | fromYaml }}
{{- $own := index $root.Values.services $name | default dict }}
{{- /* Copies: a merge changes what it is given, which others would see. */}}
{{- $values := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy $own) }}
{{ $name }}:
  {{- mergeOverwrite (dict "settings" dict) $values $facts | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pods that there are at the least. */}}
{{- define "rota.pods" -}}
{{- if .autoscaling.enabled }}{{ .autoscaling.minReplicas | int }}{{ else }}{{ .replicas | int }}{{ end -}}
{{- end -}}
