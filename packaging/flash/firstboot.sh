#!/bin/bash
# On the card's boot partition, in the folder janus: installs the door once, at the first boot, as
# root, without a network. What happened stands in log.txt beside this file, for any computer to read.
set -u
kit=$(cd "$(dirname "$0")" && pwd)
boot=$(dirname "$kit")
log=$kit/log.txt
[ ! -e "$kit/installed" ] || exit 0

# First, so that a failure is not repeated at every boot.
if [ -f "$boot/cmdline.txt" ] && grep -q "systemd.run=$kit/" "$boot/cmdline.txt"; then
  sed 's| systemd\.run=.*||' "$boot/cmdline.txt" >"$boot/cmdline.new" &&
    mv "$boot/cmdline.new" "$boot/cmdline.txt"
fi
if [ -f "$kit/janus.toml" ]; then # written by whoever prepared the card
  install -D -m 640 "$kit/janus.toml" "${JANUS_ROOT:-}/etc/janus/janus.toml"
fi
# The door starts with the system: the boot goes on from here, or another one follows.
if bash "$kit/install.sh" --offline "$kit/wheels" --no-start --root "${JANUS_ROOT:-}" >"$log" 2>&1; then
  touch "$kit/installed"
  rm -rf "$kit/wheels" # most of the partition
  if [ "${1:-}" = start ]; then
    systemctl start --no-block janus.service janus-backup.timer
  fi
else
  echo "the installation failed; see above" >>"$log"
  exit 1
fi
sync
