#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml and deploy/compose/ ask for, once: a second run keeps them. Run it before the first
# `docker-compose up`, and after an update of deploy/prometheus/prometheus.yml.
#   deploy/secrets.sh [FOLDER]     FOLDER is the one with docker-compose.yml
set -euo pipefail
root="$(cd "${1:-"$(dirname "$0")/.."}" && pwd)"
here="$(cd "$(dirname "$0")" && pwd)"
folder="$root/deploy/secrets"
env="$root/.env"
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
[ -e "$env" ] || : >"$env"
chmod 600 "$env"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; } # 256 bits

# keep NAME VALUE: adds a variable to .env unless it is there.
keep() { grep -q "^$1=." "$env" || printf '%s=%s\n' "$1" "$2" >>"$env"; }
value() { sed -n "s/^$1=//p" "$env" | tail -n 1; }

keep NEXUS_API_KEY "nexus_$(random)"
keep NEXUS_PROMETHEUS_KEY "nexus_$(random)"
keep NEXUS_API_KEYS "prometheus[read]=$(value NEXUS_PROMETHEUS_KEY)"
keep NEXUS_REDIS_PASSWORD "$(random)"
keep NEXUS_S3_ACCESS_KEY "nexus-$(random | cut -c 1-12)"
keep NEXUS_S3_SECRET_KEY "$(random)"
keep GRAFANA_PASSWORD "$(random | cut -c 1-32)"

# Other users inside the containers read these, so they are readable; the folder is for its owner only.
umask 022
# The rights that nexus needs, see docs/operations. Nobody gets in without a password.
cat >"$folder/redis-users.acl" <<ACL
user default off
user nexus on >$(value NEXUS_REDIS_PASSWORD) ~nexus:* ~asynq:* &nexus:* &asynq:* +@read +@write +@connection +eval +evalsha +script|load +script|exists +@pubsub +@stream +@transaction -@dangerous -function +info +time
ACL
printf '%s' "$(value NEXUS_PROMETHEUS_KEY)" >"$folder/prometheus-key"
sed 's|# authorization: {type: Bearer, credentials_file: .*}|authorization: {type: Bearer, credentials_file: /run/secrets/nexus-key}|' \
  "$here/prometheus/prometheus.yml" >"$folder/prometheus.yml"

echo "Secrets are in $env and $folder. The API key: NEXUS_API_KEY in .env; Grafana's user admin: GRAFANA_PASSWORD."
