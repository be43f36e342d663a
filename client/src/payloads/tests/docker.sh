#!/bin/sh
# Stands in for docker: containers, images and compose projects are files beside it; of a project
# that is up, its folder, where its containers find the files that they mount. Every call is noted in `calls`. The call whose number and moment are in `fault` goes wrong: "3 before" and
# "3 after" cut the power around its effect, "3 fail" makes it fail once, "3 hang" never end.
# After a power cut every call fails until the file `off` is gone.
cd "${0%/*}" || exit 1
[ -e off ] && exit 1
count=0
[ -e count ] && read -r count < count
count=$((count + 1))
echo "$count" > count
printf '%s\n' "$*" >> calls
fault=
[ -e fault ] && read -r fault < fault
case "$fault" in
"$count before") : > off; exit 1 ;;
"$count fail") exit 1 ;;
"$count hang") exec sleep 600 ;;
esac

# The id of the image that a name stands for.
image_of() {
    [ -e "images/$1" ] || return 1
    read -r image < "images/$1"
}

# A container's file: its state, its image, its label, whether it goes away by itself.
start() { # id image label auto-remove
    state=running
    [ -e "broken/$2" ] && state=exited
    printf '%s\n' "$state $2 $3 $4" > "containers/$1"
}

stop() { # id
    read -r _ image label auto < "containers/$1" || exit 1
    if [ "$auto" = true ]; then rm "containers/$1"; else printf '%s\n' "stopped $image $label $auto" > "containers/$1"; fi
}

each() { # what, ids
    what=$1; shift
    for id in "$@"; do
        [ -e "containers/$id" ] || { echo "no such container: $id" >&2; exit 1; }
        read -r state image label auto < "containers/$id"
        "$what"
    done
}
show_auto() { echo "${auto:-false}"; }
# A container in `dying` ends between the first look and the second.
show_state() {
    if [ "$state" = running ] && [ -e "dying/$image" ]; then printf '%s\n' "exited $image $label $auto" > "containers/$id"; fi
    if [ "$state" = running ]; then echo "running 0 none"; else echo "$state 1 none"; fi
}
start_again() { start "$id" "$image" "$label" "$auto"; }
stop_it() { stop "$id"; }
remove_it() { rm "containers/$id"; }
keep_off() { echo "$id" >> no-restart; }

containers() { # what
    for file in containers/*; do
        [ -e "$file" ] || continue
        id=${file#*/}
        read -r state image label auto < "$file"
        "$1"
    done
}
show_running() {
    case "$state $id" in
    "running compose-"*) project=${id#compose-}; echo "$id ${project%%-*}" ;;
    "running "*) echo "$id " ;;
    esac
}
show_labelled() { [ "label=$label" = "$filter" ] && echo "$id"; }
show_project() { case "$id" in "compose-$project-"*) echo "$id" ;; esac; }
remove_project() { case "$id" in "compose-$project-"*) rm "containers/$id" ;; esac; }

case "$1 $2" in
"version "*) echo 1 ;;
"compose version") ;;
"pull "*) [ -e "registry/$2" ] || { echo "no such image: $2" >&2; exit 1; }
    read -r image < "registry/$2"; echo "$image" > "images/$2" ;;
"ps --no-trunc") containers show_running ;;
"ps --all") filter=$6; containers show_labelled ;;
"inspect --format")
    format=$3; shift 3
    case "$format" in *AutoRemove*) each show_auto "$@" ;; *) each show_state "$@" ;; esac ;;
"stop "*) shift; each stop_it "$@" ;;
"start "*) shift; each start_again "$@" ;;
"rm --force") shift 2; each remove_it "$@" ;;
"update --restart") shift 3; each keep_off "$@" ;;
"run --detach")
    label=$5; shift 5
    while [ $# -gt 1 ]; do printf '%s\n' "$1" >> run-args; shift; done
    image_of "$1" || exit 1
    start "run-$count" "$image" "$label" false ;;
"image ls") for file in images/*; do [ -e "$file" ] && read -r image < "$file" && echo "${file#*/} $image"; done ;;
"image load") read -r name image < "$4" || exit 1; echo "$image" > "images/$name"; echo "Loaded image: $name" ;;
"image inspect") shift 4; for name in "$@"; do image_of "$name" && echo "$image"; done ;;
"image rm") for file in images/*; do read -r image < "$file"; [ "$image" != "$3" ] || rm "$file"; done ;;
"tag "*) echo "$2" > "images/$3" ;;
"compose --project-name")
    project=$3
    case "$4" in
    up) echo "$OLDPWD" > "folders/$project"
        while read -r word name; do
            [ "$word" = image: ] || continue
            image_of "$name" || exit 1
            start "compose-$project-$name" "$image" compose false
        done < "$OLDPWD/compose.yaml" ;;
    down) containers remove_project; rm -f "folders/$project" ;;
    ps) containers show_project ;;
    logs) echo "what the containers said" ;;
    esac ;;
*) echo "unknown: $*" >&2; exit 1 ;;
esac
case "$fault" in "$count after") : > off; exit 1 ;; esac
exit 0
