{{/* All services: files/services.yaml, each with what values.yaml says of it. */}}
{{- define "rota.services" -}}
{{- $root := . -}}
{{- range $name, $facts := .Files.Get "files/services.yaml" | fromYaml }}
{{- $own := index $root.Values.services $name | default dict }}
{{- $values := include "rota.overlay" (dict "below" $root.Values.defaults "above" $own) | fromYaml }}
{{ $name }}:
  {{- mergeOverwrite (dict "settings" dict) $values $facts | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* `above` over `below`, key by key. Helm's own merge takes false, 0 and "" for absent. */}}
{{- define "rota.overlay" -}}
{{- $all := deepCopy .below -}}
{{- range $key, $value := .above -}}
{{- $under := index $all $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $under) $value -}}
{{- $value = include "rota.overlay" (dict "below" $under "above" $value) | fromYaml -}}
{{- end -}}
{{- $_ := set $all $key $value -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* The pods that there are at the least. */}}
{{- define "rota.pods" -}}
{{- if .autoscaling.enabled }}{{ .autoscaling.minReplicas | int }}{{ else }}{{ .replicas | int }}{{ end -}}
{{- end -}}
