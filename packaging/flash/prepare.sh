#!/bin/sh
# Put the door on a card that Raspberry Pi Imager has just written, on Linux or macOS:
#
#   ./prepare.sh /media/$USER/bootfs        (macOS: /Volumes/bootfs)
#
# Copies the folder janus to the boot partition and has its firstboot.sh called at the first boot, in
# whichever way the card's system knows. May be run again. docs/flash.md says how to do it by hand.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
fail() {
  echo "prepare.sh: $*" >&2
  exit 1
}
[ $# -eq 1 ] || fail "say where the card's boot partition is: ./prepare.sh /media/\$USER/bootfs"
boot=$1
[ -f "$boot/cmdline.txt" ] && [ -f "$boot/config.txt" ] ||
  fail "$boot is no boot partition of Raspberry Pi OS: no cmdline.txt and config.txt there"
call=/boot/firmware/janus/firstboot.sh # where the running system has it

# Files are written beside the old ones and then renamed, so that none is ever half written.

rm -rf "$boot/janus"
mkdir "$boot/janus"
cp -R "$here/janus/." "$boot/janus"

if [ -f "$boot/user-data" ]; then # Trixie: cloud-init
  if grep -q "$call" "$boot/user-data"; then
    :
  elif grep -q '^runcmd:[[:space:]]*$' "$boot/user-data"; then
    # Ours becomes the first of the commands that are there, indented as they are.
    awk -v call="$call" '
      waiting { match($0, /^ */); printf "%*s- [bash, %s, start]\n", RLENGTH, "", call; waiting = 0 }
      { print }
      /^runcmd:[[:space:]]*$/ { waiting = 1 }
    ' "$boot/user-data" >"$boot/user-data.new"
    mv "$boot/user-data.new" "$boot/user-data"
  elif grep -q '^runcmd:' "$boot/user-data"; then
    fail "$boot/user-data has its runcmd on one line; add [bash, $call, start] to it by hand"
  else
    {
      grep -q '^#cloud-config' "$boot/user-data" || echo '#cloud-config'
      cat "$boot/user-data"
      printf '\nruncmd:\n- [bash, %s, start]\n' "$call"
    } >"$boot/user-data.new"
    mv "$boot/user-data.new" "$boot/user-data"
  fi
  how=cloud-init
elif [ -f "$boot/firstrun.sh" ]; then # Bookworm, with settings made in the Imager
  if ! grep -q "$call" "$boot/firstrun.sh"; then
    awk -v call="$call" '
      !done && /^rm -f .*firstrun.sh/ { print "bash " call " || true"; done = 1 }
      { print }
      END { exit !done }
    ' "$boot/firstrun.sh" >"$boot/firstrun.new" || {
      rm -f "$boot/firstrun.new"
      fail "$boot/firstrun.sh is not as the Imager writes it; add the line: bash $call"
    }
    mv "$boot/firstrun.new" "$boot/firstrun.sh"
  fi
  how=firstrun.sh
else # Bookworm as it comes
  if ! grep -q "$call" "$boot/cmdline.txt"; then
    printf '%s systemd.run=%s %s\n' "$(cat "$boot/cmdline.txt")" "$call" \
      'systemd.run_success_action=reboot systemd.run_failure_action=reboot systemd.unit=kernel-command-line.target' \
      >"$boot/cmdline.new"
    mv "$boot/cmdline.new" "$boot/cmdline.txt"
  fi
  how=cmdline.txt
fi
sync
echo "The card is prepared ($how). Eject it, put it into the Pi, switch on; janus/log.txt on the card tells."
