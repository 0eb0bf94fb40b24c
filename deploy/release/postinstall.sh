#!/bin/sh
# After deb or rpm put the files in place: the user and its folders. Nothing is started.
set -e
id nexus >/dev/null 2>&1 || useradd --system --home-dir /opt/nexus --shell /usr/sbin/nologin nexus
install -d -o nexus -g nexus /opt/nexus
for folder in nexus_checkpoints nexus_checkpoints/corrupted logs redis; do install -d -m 700 -o nexus -g nexus "/opt/nexus/$folder"; done
install -d -m 750 /etc/nexus
[ -e /etc/nexus/nexus.env ] || install -m 600 /dev/null /etc/nexus/nexus.env
if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl try-restart nexus || true; fi
echo "nexus is installed. Start it: systemctl enable --now nexus"
