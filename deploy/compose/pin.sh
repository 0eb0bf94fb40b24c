#!/bin/bash
# Writes deploy/compose/pinned.yml, in which every image of the Compose files is named by the digest that its tag has
# now. Four of them have a digest already: the one that several public projects pin for the same tag. Needs docker
# with buildx and the registries; look at the file, then add it to COMPOSE_FILE.
#   deploy/compose/pin.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-deploy/compose/pinned.yml}
{
  echo "# Written by deploy/compose/pin.sh: the images of the Compose files by digest."
  echo "services:"
  # A service, then its image; the images that are built here have no registry.
  awk '/^  [a-z0-9-]+:$/ { service = $1 } $1 == "image:" && $2 !~ /^nexus-continuum:/ { sub(/@.*/, "", $2); print service, $2 }' docker-compose.yml deploy/compose/fleet.yml deploy/compose/monitoring.yml |
    while read -r service image; do
      digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
      case $digest in sha256:????????*) ;; *) echo "pin.sh: $image: no digest but $digest" >&2; exit 1 ;; esac
      printf '  %s\n    image: %s@%s\n' "$service" "$image" "$digest"
    done
} >"$out.new"
mv "$out.new" "$out"
