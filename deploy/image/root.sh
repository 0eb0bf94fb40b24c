#!/bin/sh
# Makes the root file system of the container image: nexus, redis-server with the libraries that it loads,
# certificates, and the folders that nexus writes to. There is no shell and no package manager in it.
#   root.sh FOLDER [NEXUS [LIBRARIES]]        LIBRARIES is a folder of libraries to use instead of Debian's
set -eu
root=$1
nexus=${2:-/usr/local/bin/nexus}
instead=${3:-/usr/local/lib/instead}

mkdir -p "$root/usr/local/bin" "$root/usr/bin" "$root/etc/ssl/certs" "$root/tmp" "$root/lib64" \
  "$root/app/nexus_checkpoints" "$root/app/logs" "$root/app/redis"

# with PROGRAM TARGET copies a program and every library that it loads.
with() {
  cp -L "$1" "$root$2"
  # A static program has none: ldd then ends with 1.
  { LD_LIBRARY_PATH=$instead ldd "$1" 2>/dev/null || true; } | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p' | while read -r library; do
    to=$root$library
    case $library in "$instead"/*) to=$root/usr/lib/$(basename "$library") ;; esac
    mkdir -p "$(dirname "$to")"
    [ -e "$to" ] || cp -L "$library" "$to"
  done
}
with "$nexus" /usr/local/bin/nexus
with "$(command -v redis-server)" /usr/bin/redis-server

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'nexus:x:10001:10001:NEXUS Continuum:/app:/nonexistent' >"$root/etc/passwd"
echo 'nexus:x:10001:' >"$root/etc/group"
chmod 755 "$root/usr/local/bin/nexus" "$root/usr/bin/redis-server"
chmod 1777 "$root/tmp"
if [ "$(id -u)" -eq 0 ]; then
  chown -R 10001:10001 "$root/app"
  # A library that is missing, or lacks a function, shows here.
  chroot "$root" /usr/bin/redis-server --version
  chroot "$root" /usr/local/bin/nexus version
fi
chmod 750 "$root/app/nexus_checkpoints" "$root/app/logs" "$root/app/redis"
