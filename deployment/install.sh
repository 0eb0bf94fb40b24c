#!/bin/sh
# The name that the original runbook uses.
echo "deployment/install.sh: the installer is deploy/install.sh; going on with it" >&2
exec "$(dirname "$0")/../deploy/install.sh" "$@"
