#!/bin/bash
# Says what the delivered program consists of: sections, embedded files, code by module, and
# what makes the linker keep methods that nothing calls.
#   make size
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build=(go build -modfile=bin/slim/slim.mod -trimpath)
export CGO_ENABLED=0
"${build[@]}" -ldflags '-s -w' -o "$work/nexus" ./cmd/nexus
"${build[@]}" -ldflags '-dumpdep' -o "$work/symbols" ./cmd/nexus 2>"$work/edges"
mb() { awk '{ n = $1; $1 = ""; printf "%7.2f MB %s\n", n / 1e6, $0 }'; }

echo "the program, and its archive"
{ echo "$(wc -c <"$work/nexus") nexus"; echo "$(gzip -9 -c "$work/nexus" | wc -c) nexus.gz"; } | mb

echo; echo "sections"
readelf -SW "$work/nexus" | sed 's/^ *\[ *[0-9]*\] *//' | awk '$1 ~ /^\.(text|rodata|gopclntab|data|noptrdata)$/ { print $5, $1 }' |
  while read -r hex name; do echo "$((16#$hex)) $name"; done | mb

echo; echo "embedded files"
go list -modfile=bin/slim/slim.mod -deps -f '{{$d := .Dir}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}' ./cmd/nexus |
  while read -r file; do [ -z "$file" ] || echo "$(wc -c <"$file") ${file#"$PWD/"}"; done | sort -rn | head -n 8 | mb

echo; echo "machine code by module"
go tool nm -size "$work/symbols" | awk '$3 ~ /^[Tt]$/ {
    name = $4; sub(/\[.*/, "", name)
    n = split(name, part, "/"); last = part[n]; sub(/\..*/, "", last)
    module = n == 1 ? "the standard library" : part[1] ~ /\./ ? part[1] "/" (n == 2 ? last : part[2]) (n > 3 ? "/" part[3] : n == 3 ? "/" last : "") : "the standard library"
    if (name ~ /^main\./) module = "github.com/nexus-continuum/nexus"
    size[module] += $2
  } END { for (m in size) print size[m], m }' | sort -rn | head -n 16 | mb

echo; echo "what looks up methods by names that the linker cannot know (should be nothing)"
grep -o '[^ ]* <ReflectMethod>' "$work/edges" | sort -u || true
