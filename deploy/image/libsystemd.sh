#!/bin/sh
# Makes a libsystemd.so.0 for the image. Debian's redis-server asks it for one function, sd_notify, to report to
# systemd, which does not run in a container. Debian's own library loads six others and takes 1.5 MB of the image.
#   libsystemd.sh FOLDER
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'int sd_notify(int unset, const char *state) { (void)unset; (void)state; return 0; }' >"$work/notify.c"
echo 'LIBSYSTEMD_209 { global: sd_notify; local: *; };' >"$work/versions"
mkdir -p "$1"
"${CC:-gcc}" -shared -fPIC -Os -s -Wl,-soname,libsystemd.so.0 -Wl,--version-script="$work/versions" -o "$1/libsystemd.so.0" "$work/notify.c"
