#!/bin/bash
# Builds an older revision, lets it learn and train, goes on with its data by the present program, and
# then by the older one again: no lesson may be lost on the way. KEEP=FILE.tar.gz keeps the older one's data.
#   make upgrade FROM=v1.2.0
set -euo pipefail
cd "$(dirname "$0")/../.."
revision=$(git rev-parse --verify "${1:?the revision to start from}^{commit}")
work=$(mktemp -d)
trap 'git worktree remove --force "$work/source" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/source" "$revision"
echo "building ${revision:0:12}"
(cd "$work/source" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${revision:0:12}" -o "$work/nexus" ./cmd/nexus)
"$work/nexus" version
go test ./cmd/nexus -run 'TestUpgradeAndDowngrade$' -count=1 -v -timeout 15m -upgrade.old "$work/nexus" ${KEEP:+-upgrade.write "$(realpath -m "$KEEP")"}
