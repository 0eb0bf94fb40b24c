#!/usr/bin/env bash
# Installs NEXUS Continuum as a systemd service under /opt/nexus. Run it again to update: it replaces the
# program and keeps what was taught and configured.
#   sudo deploy/install.sh                  builds, installs and starts
#   sudo deploy/install.sh --binary FILE    installs this program; needs no Go and no network
#   sudo deploy/install.sh --no-start       installs only
#   sudo deploy/install.sh --uninstall      removes program and service; --purge removes the data too
#   deploy/install.sh --user                for this user only, under ~/.local/share/nexus
# DESTDIR=/some/root installs into that root, and starts nothing.
set -euo pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
root=${DESTDIR:-}
start=yes user=no binary="" remove=no purge=no
say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    -h|--help) echo "usage: install.sh [--user] [--no-start] [--binary FILE] | --uninstall | --purge"; sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    --no-start) start=no ;;
    --user) user=yes ;;
    --binary) binary=${2:?--binary needs a file}; shift ;;
    --uninstall) remove=yes ;;
    --purge) remove=yes purge=yes ;;
    *) echo "install.sh: unknown argument $1; known: --binary FILE, --no-start, --user, --uninstall, --purge" >&2; exit 2 ;;
  esac
  shift
done

if [ "$user" = yes ]; then
  prefix=${NEXUS_PREFIX:-$HOME/.local/share/nexus}
  units=$root${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
  config=${XDG_CONFIG_HOME:-$HOME/.config}/nexus
  link=$root$HOME/.local/bin/nexus
  manager() { systemctl --user "$@"; }
else
  prefix=${NEXUS_PREFIX:-/opt/nexus}
  units=$root/etc/systemd/system
  config=/etc/nexus
  link=$root/usr/local/bin/nexus
  manager() { systemctl "$@"; }
  [ "$(id -u)" -eq 0 ] || [ -n "$root" ] || fail "must run as root: sudo $0"
fi
home=$root$prefix
running=no
if [ -z "$root" ] && [ -d /run/systemd/system ]; then running=yes; fi
as_root=no
if [ "$user" = no ] && [ "$(id -u)" -eq 0 ]; then as_root=yes; fi
# own sets the owner where there can be another one than the caller.
own() { if [ "$as_root" = yes ] && [ -z "$root" ]; then chown -R nexus:nexus "$@"; fi; }

if [ "$remove" = yes ]; then
  if [ "$running" = yes ]; then
    manager disable --now nexus.service nexus.target >/dev/null 2>&1 || true
    manager stop 'nexus-worker@*.service' nexus-api.service nexus-scheduler.service >/dev/null 2>&1 || true
  fi
  rm -f "$units"/nexus.service "$units"/nexus-api.service "$units"/nexus-worker@.service "$units"/nexus-scheduler.service "$units"/nexus.target
  rm -f "$units"/nexus.service.new "$link"
  rm -rf "$home/bin" "$home/docs" "$home/share"
  if [ -L "$root/app" ] && [ "$(readlink "$root/app")" = "$prefix" ]; then rm "$root/app"; fi
  if [ "$running" = yes ]; then manager daemon-reload; fi
  if [ "$purge" = yes ]; then
    rm -rf "$home" "$root$config"
    if [ "$as_root" = yes ] && [ -z "$root" ]; then userdel nexus 2>/dev/null || true; fi
    say "removed, with all that was taught and configured"
  else
    say "removed. What was taught is still in $home/nexus_checkpoints; --purge removes it too"
  fi
  exit 0
fi

# The program: the given one, or one built here, or a built one that is no older than its source.
if [ -n "$binary" ]; then
  [ -x "$binary" ] || fail "$binary is no program"
else
  binary=$source_dir/bin/nexus
  go=$(PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin:/snap/bin:${HOME:-/root}/go/bin command -v go || true)
  if [ -n "$go" ]; then
    say "building; the first time this downloads modules and takes some minutes"
    build=(env "PATH=$(dirname "$go"):$PATH" make -C "$source_dir" build)
    owner=$(stat -c %U "$source_dir")
    # As the owner of the source: root would leave files there that the owner cannot change.
    if [ "$(id -u)" -eq 0 ] && [ "$owner" != root ] && [ "$owner" != UNKNOWN ]; then
      build=(runuser -u "$owner" -- env "HOME=$(getent passwd "$owner" | cut -d: -f6)" "${build[@]:1}")
    fi
    "${build[@]}"
  elif [ ! -x "$binary" ]; then
    fail "neither Go (on PATH or in /usr/local/go/bin) nor $binary is there. Install Go 1.26, or build bin/nexus on another machine (make build) and give it with --binary"
  else
    newer=$(cd "$source_dir" && find . -name .git -prune -o -name node_modules -prune -o -path ./docs -prune -o -path ./deploy -prune \
      -o -type f \( -name '*.go' -o -name go.mod -o -name go.sum -o -name '*.lua' -o -name '*.nxb' -o -name '*.bin' -o -path './api/static/*' \) -newer "$binary" -print -quit)
    [ -z "$newer" ] || fail "$binary is older than the source ($newer) and there is no Go to build it. Install Go 1.26, or give a program with --binary"
  fi
fi
new=$("$binary" version) || fail "$binary does not run here"
old=none
if [ -x "$home/bin/nexus" ]; then old=$("$home/bin/nexus" version 2>/dev/null || echo unknown); fi

if [ "$as_root" = yes ] && [ -z "$root" ] && ! id nexus >/dev/null 2>&1; then
  useradd --system --home-dir "$prefix" --shell /usr/sbin/nologin nexus
fi
install -d "$home" "$home/bin" "$home/docs" "$home/share"
# What was taught, the secrets beside it and the logs are for nexus only.
for folder in nexus_checkpoints nexus_checkpoints/corrupted logs redis; do install -d -m 700 "$home/$folder"; done
chmod -R go-rwx "$home/nexus_checkpoints" "$home/logs" "$home/redis"
own "$home/nexus_checkpoints" "$home/logs" "$home/redis"
if [ "$as_root" = yes ] && [ -z "$root" ]; then chown nexus:nexus "$home"; fi
# A new file under a new name, then a rename: the running program is not disturbed.
install -m 755 "$binary" "$home/bin/nexus.new"
mv "$home/bin/nexus.new" "$home/bin/nexus"
if [ -d "$source_dir/docs" ]; then cp -r "$source_dir/docs/." "$home/docs/"; fi
install -d "$(dirname "$link")"
ln -sfn "$prefix/bin/nexus" "$link"
if [ "$user" = no ]; then
  # The paths of the runbook, /app/nexus_checkpoints and /app/logs, are those of a container.
  if [ ! -e "$root/app" ] && [ ! -L "$root/app" ]; then ln -s "$prefix" "$root/app"; fi
fi
install -d -m 750 "$root$config"
[ -e "$root$config/nexus.env" ] || install -m 600 /dev/null "$root$config/nexus.env"

# of UNIT writes a unit for this prefix and, with --user, for a user.
of() {
  if [ "$user" = yes ]; then
    # A user manager may not change users, and the home is where the data is.
    sed -e "s|/opt/nexus|$prefix|g" -e "s|/etc/nexus|$config|g" -e '/^User=/d;/^Group=/d;/^ProtectHome=/d;/^CapabilityBoundingSet=/d;/^AmbientCapabilities=/d;/^Device/d;/^ProtectClock=/d;/^ProtectKernelModules=/d;/^ProtectKernelLogs=/d' \
      -e 's/multi-user.target/default.target/;/network-online.target/d' "$1"
  else
    sed -e "s|/opt/nexus|$prefix|g" "$1"
  fi
}
# plain UNIT shows it without what people are told to edit.
plain() { grep -v '^Environment=' "$1" || true; }
# carry OLD NEW prints NEW with the Environment= lines of OLD; variables that only NEW has keep their lines.
carry() {
  awk -v old="$1" '
    function name(line) { sub(/^Environment="?/, "", line); sub(/=.*/, "", line); return line }
    BEGIN { while ((getline line < old) > 0) if (line ~ /^Environment=/) { theirs[++n] = line; has[name(line)] = 1 } }
    /^Environment=/ { if (!done) { for (i = 1; i <= n; i++) print theirs[i]; done = 1 } if (!(name($0) in has)) print; next }
    { print }' "$2"
}
install -d "$units"
for path in "$source_dir"/deploy/systemd/*; do
  unit=$(basename "$path")
  fresh=$(mktemp)
  of "$path" >"$fresh"
  if [ ! -e "$units/$unit" ]; then
    install -m 644 "$fresh" "$units/$unit"
  elif [ -e "$home/share/$unit" ] && [ "$(plain "$units/$unit")" != "$(plain "$home/share/$unit")" ]; then
    carry "$units/$unit" "$fresh" >"$units/$unit.new"
    chmod 644 "$units/$unit.new"
    say "kept your $units/$unit, since more than its Environment= lines was changed; the new one is beside it as $unit.new"
  else
    merged=$(mktemp)
    carry "$units/$unit" "$fresh" >"$merged"
    install -m 644 "$merged" "$units/$unit"
    rm -f "$merged" "$units/$unit.new"
  fi
  install -m 644 "$fresh" "$home/share/$unit"
  rm -f "$fresh"
done

if [ "$running" = yes ]; then
  manager daemon-reload
  if manager is-active --quiet nexus.target; then
    if [ "$start" = yes ]; then manager restart nexus.target; fi
  else
    manager enable nexus >/dev/null 2>&1
    if [ "$start" = yes ]; then manager restart nexus; fi
  fi
elif [ -z "$root" ]; then
  say "systemd does not run here; start by hand: NEXUS_DATA_DIR=$prefix $prefix/bin/nexus serve"
fi
say "was: $old"
say "now: $new"
how=systemctl
if [ "$user" = yes ]; then how="systemctl --user"; fi
say "done. Status: $how status nexus · dashboard: http://localhost:8000/dashboard"
