#!/bin/bash
# Makes a release twice, from two clones in different folders and each with a build cache of its own, and
# compares the bytes of every file.
#   make reproduce                        TARGETS='linux/amd64' limits what is built
set -euo pipefail
cd "$(dirname "$0")/../.."
export VERSION=${VERSION:-0.0.0-reproduce}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for clone in a somewhere/else; do
  git clone --quiet . "$work/$clone"
  (cd "$work/$clone" && GOCACHE="$work/cache" deploy/release/release.sh >/dev/null)
  cp "$work/$clone/dist/$VERSION/SHA256SUMS" "$work/${clone##*/}.sums"
  rm -rf "$work/cache"
done
diff "$work/a.sums" "$work/else.sums"
cat "$work/a.sums"
echo "the same bytes twice"
