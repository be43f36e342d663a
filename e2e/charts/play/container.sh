# Runs a program in a root file system of its own, which it cannot write to, but for some folders.
# container ROOT OWNER "WRITABLE..." PROGRAM ARGUMENT...
set -eu
root=$1 owner=$2 writable=$3
shift 3
mount --bind "$root" "$root"
for folder in dev proc; do
  mkdir -p "$root/$folder"
  mount --rbind "/$folder" "$root/$folder"
done
for folder in $writable; do
  mount --bind "$root$folder" "$root$folder"
  if [ -n "$owner" ]; then chown "$owner" "$root$folder"; fi
done
mount -o remount,bind,ro "$root"
exec "$@"
