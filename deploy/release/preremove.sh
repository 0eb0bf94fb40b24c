#!/bin/sh
# Before deb or rpm take the files away: the service ends. What was taught stays under /opt/nexus.
set -e
# deb says remove or upgrade; rpm says how many versions stay.
case "$1" in remove | 0) ;; *) exit 0 ;; esac
if [ -d /run/systemd/system ]; then
  systemctl disable --now nexus.service nexus.target >/dev/null 2>&1 || true
  systemctl stop 'nexus-worker@*.service' nexus-api.service nexus-scheduler.service >/dev/null 2>&1 || true
fi
