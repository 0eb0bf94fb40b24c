#!/bin/bash
# Measures the two commands of the README as on a machine that has nothing but git and Go: a fresh clone, no
# downloaded modules, no build cache, an empty environment. Says how long `make run` took until the service was
# ready, by the clock and in seconds of CPU. TEST=yes measures `make test` behind it.
#   make fresh
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
git clone --quiet . "$work/nexus"
mkdir "$work/home"
port=${PORT:-18777}
bare() {
  env -i HOME="$work/home" PATH="$PATH" GOPROXY="$(go env GOPROXY)" GOMODCACHE="$work/modules" GOCACHE="$work/cache" \
    GOFLAGS=-modcacherw GOTOOLCHAIN=local NEXUS_LISTEN="127.0.0.1:$port" "$@"
}
cat >"$work/run.sh" <<'RUN'
set -euo pipefail
began=$(date +%s)
make run &
until curl -sf "http://$NEXUS_LISTEN/readyz" >/dev/null 2>&1; do kill -0 $!; sleep 0.2; done
echo "make run: ready after $(($(date +%s) - began)) s"
kill "$(fuser "${NEXUS_LISTEN##*:}/tcp" 2>/dev/null | tr -d ' ')"
wait $! || true
times >times # in this shell: a pipe would have one of its own
echo "CPU, in user and system mode: $(tail -n 1 times)"
RUN
(cd "$work/nexus" && bare bash "$work/run.sh")
if [ "${TEST:-}" = yes ]; then
  (cd "$work/nexus" && time bare make test)
fi
