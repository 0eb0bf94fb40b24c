#!/usr/bin/env bash
# Installs NEXUS Continuum as a systemd service under /opt/nexus. Safe to run again: it updates the
# program and keeps what was learned and configured.
#   sudo deploy/install.sh            installs and starts
#   sudo deploy/install.sh --no-start installs only
set -euo pipefail

prefix=${NEXUS_PREFIX:-/opt/nexus}
unit_dir=${NEXUS_UNIT_DIR:-/etc/systemd/system}
start=yes
for arg in "$@"; do
  case $arg in
    --no-start) start=no ;;
    *) echo "install.sh: unknown argument $arg (only --no-start is known)" >&2; exit 2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || { echo "install.sh: must run as root: sudo $0" >&2; exit 1; }
source_dir=$(cd "$(dirname "$0")/.." && pwd)

binary=$source_dir/bin/nexus
if command -v go >/dev/null; then
  (cd "$source_dir" && make build)
elif [ ! -x "$binary" ]; then
  echo "install.sh: neither Go nor $binary is there; install Go 1.26 or build bin/nexus on another machine (make build)" >&2
  exit 1
fi

id nexus >/dev/null 2>&1 || useradd --system --home-dir "$prefix" --shell /usr/sbin/nologin nexus
install -d -o nexus -g nexus "$prefix" "$prefix/nexus_checkpoints" "$prefix/logs" "$prefix/redis"
install -d "$prefix/bin" "$prefix/docs"
# A new file under a new name, then a rename: the running program is not disturbed.
install -m 755 "$binary" "$prefix/bin/nexus.new"
mv "$prefix/bin/nexus.new" "$prefix/bin/nexus"
cp -r "$source_dir/docs/." "$prefix/docs/"
if [ -z "${NEXUS_UNIT_DIR:-}" ]; then ln -sf "$prefix/bin/nexus" /usr/local/bin/nexus; fi

install -d "$unit_dir"
if [ -e "$unit_dir/nexus.service" ] && ! cmp -s "$source_dir/deploy/nexus.service" "$unit_dir/nexus.service"; then
  install -m 644 "$source_dir/deploy/nexus.service" "$unit_dir/nexus.service.new"
  echo "install.sh: kept your $unit_dir/nexus.service; the new one is beside it as nexus.service.new"
else
  install -m 644 "$source_dir/deploy/nexus.service" "$unit_dir/nexus.service"
fi
if [ -z "${NEXUS_UNIT_DIR:-}" ] && [ ! -e /etc/nexus/nexus.env ]; then
  install -d -m 750 /etc/nexus
  install -m 600 /dev/null /etc/nexus/nexus.env
fi

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable nexus
  if [ "$start" = yes ]; then systemctl restart nexus; fi
else
  echo "install.sh: systemd does not run here; start by hand: cd $prefix && NEXUS_DATA_DIR=$prefix $prefix/bin/nexus serve"
fi
echo "install.sh: done. Status: systemctl status nexus · dashboard: http://localhost:8000/dashboard"
