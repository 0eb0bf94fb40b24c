#!/usr/bin/env bash
# Generates the TypeScript and the Python client from api/openapi.yaml into
# dist/clients. Needs Node 20, npm and Python 3.10.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=dist/clients
mkdir -p "$out"

rm -rf "$out/typescript"
cp -r deploy/clients/typescript "$out/typescript"
(
  cd "$out/typescript"
  npm ci --no-audit --no-fund --silent
  npx openapi-typescript ../../../api/openapi.yaml -o src/schema.ts >/dev/null
  npx tsc -p tsconfig.json
)

[ -x "$out/venv/bin/pip" ] || python3 -m venv "$out/venv"
"$out/venv/bin/pip" install --quiet --disable-pip-version-check -r deploy/clients/python/requirements.txt
"$out/venv/bin/openapi-python-client" generate --path api/openapi.yaml --config deploy/clients/python/config.yaml \
  --output-path "$out/python" --overwrite >"$out/python.log" 2>&1
echo "clients: $out/typescript and $out/python"
