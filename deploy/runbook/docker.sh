#!/bin/bash
# Types the Docker half of the runbook, with docker-compose or `docker compose` and any engine that answers to
# them (Docker, or Podman's socket in DOCKER_HOST). The image nexus-continuum:latest must be there: make image.
#   make runbook-docker
set -u
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
cp -r "$source_dir/docker-compose.yml" "$source_dir/deploy" "$work/"
rm -rf "$work/deploy/secrets"
cd "$work" || exit 1
# An engine in a container of its own may not raise limits: RUNBOOK_OVERRIDE names a file for that.
if [ -n "${RUNBOOK_OVERRIDE:-}" ]; then cp "$RUNBOOK_OVERRIDE" docker-compose.override.yml; fi
if ! command -v docker-compose >/dev/null; then docker-compose() { docker compose "$@"; }; fi
failed=0
check() { if eval "$2" 2>&1 | grep -Eq -- "$3"; then echo "ok     $1"; else echo "FAILED $1: $2"; failed=$((failed + 1)); fi; }
ready() { for _ in $(seq 120); do curl -sf localhost:8000/readyz >/dev/null && return; sleep 0.5; done; echo "FAILED never ready"; failed=$((failed + 1)); }
ask() { curl -s localhost:8000/api/interact -H 'Content-Type: application/json' -d '{"prompt":"how do i reset my pasword"}'; }
trap 'docker-compose down -v >/dev/null 2>&1; rm -rf "$work"' EXIT

docker-compose up -d --no-build; ready
curl -s localhost:8000/api/lessons -H 'Content-Type: application/json' -d '{"lessons":[{"prompt":"How do I reset my password?","response":"Open Settings."}]}' >/dev/null
check 'taught' ask 'Open Settings'
check 'status' 'curl http://localhost:8000/api/status' '"healthy":true'
check 'logs' 'docker-compose logs --tail=100 nexus' 'msg='
check 'no errors in the log' 'docker-compose logs nexus | grep -c ERROR' '^0$'
check 'ps' 'docker-compose ps' 'Up|running'
docker-compose restart nexus; ready
check 'after a restart' ask 'Open Settings'
docker-compose down; docker-compose up -d --no-build; ready
check 'after down and up' ask 'Open Settings'
docker-compose kill nexus; docker-compose up -d --no-build; ready
check 'after a kill' ask 'Open Settings'
docker-compose exec -T nexus nexus backup - >nexus.tar
check 'verify' 'docker-compose exec -T nexus nexus verify' '0 faults'
docker-compose down -v
docker-compose run -T --rm nexus restore - <nexus.tar
docker-compose up -d --no-build; ready
check 'after a restore into new volumes' ask 'Open Settings'
NEXUS_PAUSED=true docker-compose up -d --no-build; ready
check 'safe mode' 'sleep 3; curl -s http://localhost:8000/api/status' 'paused by NEXUS_PAUSED'
docker-compose up -d --no-build; ready
check 'safe mode removed' 'curl -s http://localhost:8000/api/status' '"paused":false'
echo "$failed failed"
[ "$failed" -eq 0 ]
