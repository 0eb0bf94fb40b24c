#!/bin/bash
# Reads what `go build -v` prints and says from time to time how far it is. Faults pass through.
downloaded=0 compiled=0
while read -r line; do
  case $line in
    "go: downloading "*) ((++downloaded % 20)) || echo "downloaded $downloaded modules" ;;
    *[\ :]*) echo "$line" ;;
    *) ((++compiled % 50)) || echo "compiled $compiled of about 580 packages" ;;
  esac
done
