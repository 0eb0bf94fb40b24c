#!/bin/bash
# Types the commands of the runbook for systemd, in a Debian that systemd has booted (boot.sh starts it there).
# Each is fed to a shell as it stands in the runbook. The last line says how many failed.
set -u
cd /root || exit 1
failed=0 done=0

# typed WHAT PATTERN [CODE] types its standard input; the output must match PATTERN and the status be CODE.
typed() {
  local what=$1 pattern=$2 code=${3:-0} text out status
  text=$(cat)
  out=$(printf '%s\n' "$text" | timeout 120 bash 2>&1)
  status=$?
  done=$((done + 1))
  if [ "$status" = "$code" ] && grep -Eq -- "$pattern" <<<"$out"; then
    echo "ok     $what"
  else
    failed=$((failed + 1))
    printf 'FAILED %s\n  typed:   %s\n  status:  %s, want %s\n  printed: %s\n  want:    %s\n' "$what" "$text" "$status" "$code" "${out:0:600}" "$pattern"
  fi
}

ready() {
  for _ in $(seq 200); do curl -sf localhost:8000/readyz >/dev/null && return; sleep 0.3; done
  echo "FAILED never ready after $1"; failed=$((failed + 1)); journalctl -u nexus -n 20 --no-pager
}

# asked WHAT asks what was taught.
asked() {
  ready "$1"
  typed "$1: it still answers" 'Open Settings' <<'X'
curl -s http://localhost:8000/api/interact -H 'Content-Type: application/json' -d '{"prompt":"how do i reset my pasword"}'
X
}

cd /src || exit 1
typed 'install' 'now: nexus' <<'X'
sudo deployment/install.sh
X
cd /root || exit 1
typed 'start' '' <<'X'
sudo systemctl start nexus
X
ready start
typed 'status' 'active \(running\)' <<'X'
sudo systemctl status nexus
X
typed 'logs, following' 'ready after' 124 <<'X'
timeout 2 sudo journalctl -u nexus -f
X
curl -s http://localhost:8000/api/lessons -H 'Content-Type: application/json' \
  -d '{"topic":"support","lessons":[{"prompt":"How do I reset my password?","response":"Open Settings, then Security."}]}' >/dev/null
asked 'taught'
for verb in stop start restart enable disable enable; do
  typed "systemctl $verb" '' <<<"sudo systemctl $verb nexus"
done
asked 'after a restart'

sed -i 's|NEXUS_MODEL_SIZE=small|NEXUS_MODEL_SIZE=base|; s|LOG_LEVEL=INFO|LOG_LEVEL=WARNING|' /etc/systemd/system/nexus.service
typed 'changed settings' '' <<'X'
sudo systemctl daemon-reload
sudo systemctl restart nexus
X
asked 'another size'
typed 'an update keeps edited Environment= lines' '' <<'X'
/src/deploy/install.sh >/dev/null && grep -q '^Environment="NEXUS_MODEL_SIZE=base"' /etc/systemd/system/nexus.service && grep -q 'LOG_LEVEL=WARNING' /etc/systemd/system/nexus.service
X
typed 'an update says which version was and is' 'was: nexus .*now: nexus' <<'X'
echo $(sudo /src/deploy/install.sh --no-start | grep -E '(was|now):')
X
typed 'a program older than its source is not installed' 'is older than the source \(./newer.go\)' 1 <<'X'
touch /src/newer.go
sudo /src/deploy/install.sh
X
typed 'Go is found where sudo has no path to it' '^go asked to build' 2 <<'X'
mkdir -p /usr/local/go/bin; touch /src/go.mod /src/go.sum
printf '#!/bin/sh\necho go asked to build >&2\nexit 1\n' >/usr/local/go/bin/go
chmod +x /usr/local/go/bin/go
sudo /src/deploy/install.sh
X
rm -r /usr/local/go /src/newer.go /src/go.mod /src/go.sum
sed -i 's|NEXUS_MODEL_SIZE=base|NEXUS_MODEL_SIZE=small|; s|LOG_LEVEL=WARNING|LOG_LEVEL=INFO|' /etc/systemd/system/nexus.service
systemctl daemon-reload; systemctl restart nexus
ready 'the update'
typed 'what was taught is for nexus only' '^700 700$' <<'X'
echo $(stat -c %a /opt/nexus/nexus_checkpoints /opt/nexus/logs)
X
typed 'no file of it is readable by others' '^0$' <<'X'
find /opt/nexus/nexus_checkpoints /opt/nexus/redis ! -type l -perm /077 | wc -l
X
typed 'the sandbox, by systemd itself' 'Overall exposure level for nexus.service: (0|1|2\.[0-5])' <<'X'
systemd-analyze security --no-pager nexus.service
X
typed 'the unit files' '' <<'X'
systemd-analyze verify /etc/systemd/system/nexus.service /etc/systemd/system/nexus-api.service /etc/systemd/system/nexus-scheduler.service /etc/systemd/system/nexus-worker@.service /etc/systemd/system/nexus.target
X

while IFS='|' read -r filter pattern; do
  typed "jq $filter" "$pattern" <<<"curl http://localhost:8000/api/status | jq '$filter'"
done <<'X'
.health|"healthy": true
.|"daemon"
.metrics.requests|"success_rate"
.metrics.latency.request|"p99_ms"
.memory|"growth_rate_mb_per_hour"
.memory.process|"peak_mb"
.memory.process.growth_rate_mb_per_hour|^0$
.metrics.flow|"convergence_rate"
.resources.cpu_percent|^[0-9.]+$
.resources.mode|"(idle|active|throttled|paused)"
.circuit_breakers|"state": "closed"
.model.confidence_threshold|^0\.[0-9]+$
.checkpoints|"id"
X
typed 'metrics' 'nexus_' <<'X'
curl http://localhost:8000/api/metrics
X
typed 'the last hour' 'msg=' <<'X'
sudo journalctl -u nexus --since "1 hour ago"
X
typed 'errors only' 'No entries|^$' <<'X'
sudo journalctl -u nexus -p err | grep -v 'status=5' || true
X
typed 'export' 'msg=' <<'X'
sudo journalctl -u nexus > nexus-logs.txt
cat nexus-logs.txt
X
typed 'a report' 'msg=' <<'X'
sudo journalctl -u nexus --since "1 hour ago" > leak-report.txt
cat leak-report.txt
X
typed 'recent errors' '' <<'X'
sudo journalctl -u nexus -p err --since "5 minutes ago"
X
typed 'pause' '"paused"' <<'X'
curl -X POST http://localhost:8000/api/control \
  -H "Content-Type: application/json" \
  -d '{"action": "pause"}'
X
typed 'go on' '"resumed"' <<'X'
curl -X POST http://localhost:8000/api/control -H "Content-Type: application/json" -d '{"action": "resume"}'
X
typed 'learn a topic' '"training_started"' <<'X'
curl -X POST http://localhost:8000/api/control \
  -H "Content-Type: application/json" \
  -d '{"action": "train_start", "topic": "general_knowledge"}'
X
typed 'one process by its name' '(nexus|PID)' <<'X'
top -b -n 1 -p $(pgrep -f nexus)
X
typed 'watch the memory' 'current_mb|^[^0-9]*[0-9]+' 124 <<'X'
export TERM=xterm
timeout 3 watch -n 5 'curl -s http://localhost:8000/api/status | jq ".memory.process.current_mb"'
X

typed 'list the checkpoints' 'checkpoint_' <<'X'
ls -lh /app/nexus_checkpoints/
X
typed 'permissions and room' 'Filesystem' <<'X'
ls -la /app/nexus_checkpoints/
df -h /app/nexus_checkpoints/
X
typed 'back up' '' <<'X'
tar -czf nexus-backup-$(date +%Y%m%d).tar.gz \
  /app/nexus_checkpoints/
X
typed 'restore' '' <<'X'
sudo systemctl stop nexus
rm -rf /app/nexus_checkpoints/*
tar -xzf nexus-backup-$(date +%Y%m%d).tar.gz -C /
sudo systemctl start nexus
X
asked 'after a restore'
typed 'set a checkpoint aside' '' <<'X'
mv $(ls -t /app/nexus_checkpoints/checkpoint_*.json | head -n 1) \
   /app/nexus_checkpoints/corrupted/
sudo systemctl restart nexus
X
asked 'with a checkpoint set aside'
typed 'permissions mended' '' <<'X'
chown -R root:root /app/nexus_checkpoints/
sudo chown -R nexus:nexus /app/nexus_checkpoints/
sudo systemctl restart nexus
X
asked 'after chown'
typed 'files of the log' 'nexus-serve.log' <<'X'
sed -i 's|^Environment="LOG_LEVEL=INFO"|&\nEnvironment="NEXUS_LOG_DIR=/opt/nexus/logs"|' /etc/systemd/system/nexus.service
sudo systemctl daemon-reload
sudo systemctl restart nexus
ls /opt/nexus/logs/
X
ready 'log files'
typed 'safe mode' 'paused by NEXUS_PAUSED' <<'X'
sed -i 's|^Environment="LOG_LEVEL=INFO"|&\nEnvironment="NEXUS_PAUSED=true"|' /etc/systemd/system/nexus.service
sudo systemctl daemon-reload
sudo systemctl restart nexus
for i in $(seq 60); do curl -s http://localhost:8000/api/status | jq -c '.health' | grep NEXUS_PAUSED && break; sleep 0.5; done
X
typed 'safe mode removed' '"paused":false' <<'X'
sed -i '/NEXUS_PAUSED/d' /etc/systemd/system/nexus.service
sudo systemctl daemon-reload
sudo systemctl restart nexus
for i in $(seq 60); do curl -s http://localhost:8000/api/status | jq -c '.control' && break; sleep 0.5; done
X
typed 'hard kill' '' <<'X'
sudo killall -9 nexus
sleep 3
sudo systemctl stop nexus
sudo systemctl start nexus
X
asked 'after a hard kill'
typed 'an emergency backup' '' <<'X'
sudo systemctl stop nexus
journalctl -u nexus --since "1 hour ago" > investigation.log
tar -czf emergency-backup.tar.gz /opt/nexus/
rm -rf /opt/nexus/nexus_checkpoints/*
sudo systemctl start nexus
X
ready 'a fresh start'
typed 'fresh: it knows nothing' '"untaught"' <<'X'
curl -s http://localhost:8000/api/interact -H 'Content-Type: application/json' -d '{"prompt":"how do i reset my pasword"}'
X
typed 'a hung process is started again' 'Watchdog' <<'X'
sed -i 's|^WatchdogSec=.*|WatchdogSec=3|' /etc/systemd/system/nexus.service
systemctl daemon-reload
systemctl restart nexus
kill -STOP $(systemctl show -p MainPID --value nexus)
for i in $(seq 30); do journalctl -u nexus --no-pager | grep -m1 'Watchdog timeout' && break; sleep 1; done
X
ready 'a hang'
typed 'several processes' 'nexus-scheduler' <<'X'
systemctl disable --now nexus
(redis-server --port 6390 --daemonize yes >/dev/null)
echo NEXUS_REDIS_URL=redis://127.0.0.1:6390/0 >/etc/nexus/nexus.env
systemctl enable --now nexus.target nexus-worker@2
systemctl list-units 'nexus*' --no-legend
X
ready 'several processes'
typed 'two workers' '^2$' <<'X'
for i in $(seq 60); do curl -s http://localhost:8000/api/status | jq '.workers | length' | grep '^2$' && break; sleep 0.5; done
X
typed 'uninstall keeps what was taught' 'is still in /opt/nexus' <<'X'
/src/deploy/install.sh --uninstall
test -d /opt/nexus/nexus_checkpoints && ! test -e /etc/systemd/system/nexus.service && ! test -e /usr/local/bin/nexus || echo left behind
/src/deploy/install.sh --uninstall
X
typed 'purge' '' 2 <<'X'
/src/deploy/install.sh --purge
ls -d /opt/nexus /etc/nexus
X
echo "$done commands, $failed failed"
