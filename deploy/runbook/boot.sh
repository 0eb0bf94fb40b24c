#!/bin/bash
# Boots a Debian by systemd (debootstrap, systemd-nspawn) and types the runbook there. Needs root.
#   make runbook
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source_dir=$(cd "$here/../.." && pwd)
base=${RUNBOOK_ROOT:-$source_dir/dist/debian}
for p in debootstrap systemd-nspawn; do command -v "$p" >/dev/null || { echo "not on PATH: $p (Debian packages debootstrap, systemd-container)" >&2; exit 1; }; done
if [ ! -e "$base/usr/bin/jq" ]; then
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,sudo,curl,jq,procps,psmisc,ca-certificates,redis-server,make bookworm "$base" http://deb.debian.org/debian
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp -a "$base/." "$root/"
rm -f "$root/etc/systemd/system/multi-user.target.wants/redis-server.service" "$root/etc/systemd/system/redis.service"
mkdir -p "$root/src/bin"
cp -r "$source_dir/deploy" "$source_dir/deployment" "$source_dir/docs" "$source_dir/Makefile" "$root/src/"
cp "$source_dir/bin/nexus" "$root/src/bin/"
cp "$here/systemd.sh" "$root/root/typed.sh"
cat >"$root/etc/systemd/system/typed.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/bash /root/typed.sh
ExecStopPost=/usr/bin/systemctl --no-block poweroff
StandardOutput=file:/root/typed.out
StandardError=file:/root/typed.out
TimeoutStartSec=900
[Install]
WantedBy=default.target
UNIT
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -sf ../typed.service "$root/etc/systemd/system/graphical.target.wants/typed.service"
timeout 900 systemd-nspawn -q -D "$root" --boot --register=no --keep-unit --private-network </dev/null >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; }
cat "$root/root/typed.out"
tail -n 1 "$root/root/typed.out" | grep -q ' 0 failed$'
