#!/bin/sh
# Makes the root file system of the container image: nexus, redis-server with the libraries that it loads,
# certificates, and the folders that nexus writes to. There is no shell and no package manager in it.
#   root.sh FOLDER [NEXUS]
set -eu
root=$1
nexus=${2:-/usr/local/bin/nexus}

mkdir -p "$root/usr/local/bin" "$root/usr/bin" "$root/etc/ssl/certs" "$root/tmp" "$root/lib64" \
  "$root/app/nexus_checkpoints" "$root/app/logs" "$root/app/redis"

# with PROGRAM TARGET copies a program and every library that it loads.
with() {
  cp -L "$1" "$root$2"
  # A static program has none: ldd then ends with 1.
  { ldd "$1" 2>/dev/null || true; } | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    [ -e "$root$library" ] || cp -L "$library" "$root$library"
  done
}
with "$nexus" /usr/local/bin/nexus
with "$(command -v redis-server)" /usr/bin/redis-server

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'nexus:x:10001:10001:NEXUS Continuum:/app:/nonexistent' >"$root/etc/passwd"
echo 'nexus:x:10001:' >"$root/etc/group"
chmod 755 "$root/usr/local/bin/nexus" "$root/usr/bin/redis-server"
chmod 1777 "$root/tmp"
chown -R 10001:10001 "$root/app"
chmod 750 "$root/app/nexus_checkpoints" "$root/app/logs" "$root/app/redis"
