#!/usr/bin/env bash
# Generates both clients and tries them against a server of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
deploy/clients/generate.sh
[ -x bin/nexus ] || make build
data=$(mktemp -d)
NEXUS_RATE_LIMIT_ENABLED=false bin/nexus serve --listen 127.0.0.1:0 --data-dir "$data" >"$data/out" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 300); do # until it says where it listens
  NEXUS_URL=$(sed -n 's/^ *api  *\(http[^ ]*\).*/\1/p' "$data/out")
  [ -n "$NEXUS_URL" ] && grep -q '^ready' "$data/out" && break
  kill -0 $server || { cat "$data/out"; exit 1; }
  sleep 0.1
done
export NEXUS_URL
(cd dist/clients/typescript && npx tsc --noEmit --strict --module nodenext --target es2022 --skipLibCheck test/types.ts && node --test test/client.test.js)
dist/clients/venv/bin/python deploy/clients/python/test_client.py
