#!/bin/bash
# Makes everything of a release in dist/VERSION: archives for linux and darwin, deb and rpm, an SBOM, checksums.
# Times, owners and paths are fixed by the revision.
#   make release VERSION=1.2.3
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${VERSION:-$(git describe --tags --always)}
version=${version#v}
go=${GO:-go}
tool() { CGO_ENABLED=0 "$go" tool -modfile=.ci/release.mod "$@"; }
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH CGO_ENABLED=0 TZ=UTC LC_ALL=C
umask 022
revision=$(git rev-parse HEAD)
out=$PWD/dist/$version
rm -rf "$out"
mkdir -p "$out"
# deb and rpm want a number first.
number=$version
case $number in [0-9]*) ;; *) number=0~$version ;; esac

slim=bin/slim/slim.mod
make -s "$slim"
build() { # OS ARCH FILE
  GOOS=$1 GOARCH=$2 "$go" build -modfile="$slim" -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version -X main.revision=$revision" -o "$3" ./cmd/nexus
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "release $version into $out"
build "$("$go" env GOHOSTOS)" "$("$go" env GOHOSTARCH)" "$work/nexus"
mkdir -p "$work/share"
"$work/nexus" man | gzip -n -9 >"$work/share/nexus.1.gz"
for shell in bash zsh fish; do "$work/nexus" completion $shell >"$work/share/nexus.$shell"; done

for target in ${TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}; do
  os=${target%/*} arch=${target#*/}
  name=nexus-$version-$os-$arch
  mkdir -p "$work/$name/share"
  build "$os" "$arch" "$work/$name/nexus"
  cp README.md CHANGELOG.md NOTICE SECURITY.md "$work/$name/"
  cp "$work"/share/* "$work/$name/share/"
  if [ "$os" = linux ]; then mkdir -p "$work/$name/deploy"; cp -r deploy/install.sh deploy/systemd "$work/$name/deploy/"; fi
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" | gzip -n -9 >"$out/$name.tar.gz"
  if [ "$os" = linux ]; then
    # A package owns its paths, so its units name /usr/bin.
    mkdir -p "$work/units"
    for unit in deploy/systemd/*; do sed 's|/opt/nexus/bin/nexus|/usr/bin/nexus|; s|file:///opt/nexus/docs/|file:///usr/share/doc/nexus/|' "$unit" >"$work/units/$(basename "$unit")"; done
    WORK=$work BINARY=$work/$name/nexus ARCH=$arch NUMBER=$number MTIME=$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ) \
      envsubst '$WORK $BINARY $ARCH $NUMBER $MTIME' <deploy/release/nfpm.yaml >"$work/nfpm-$arch.yaml"
    for kind in deb rpm; do tool nfpm package -f "$work/nfpm-$arch.yaml" -p $kind -t "$out/nexus_${number}_$arch.$kind" >/dev/null; done
  fi
done
tool cyclonedx-gomod app -json -noserial -output-version 1.6 -main cmd/nexus -output "$work/sbom.json" . 2>/dev/null
# The time of the run is all that differs between two of them.
python3 - "$work/sbom.json" "$out/nexus-$version.cdx.json" "$version" <<'PY'
import json, sys
sbom = json.load(open(sys.argv[1]))
sbom.get("metadata", {}).pop("timestamp", None)
sbom["metadata"]["component"]["version"] = sys.argv[3]
json.dump(sbom, open(sys.argv[2], "w"), indent=1, sort_keys=True)
PY
(cd "$out" && sha256sum -- * >SHA256SUMS)
cat "$out/SHA256SUMS"
