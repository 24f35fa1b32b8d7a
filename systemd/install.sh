#!/usr/bin/env bash
# Install the Janus door on Raspberry Pi OS Bookworm or Trixie (64-bit), or another Debian of those
# ages. Run it again to upgrade; people, audit and configuration stay.
set -euo pipefail
umask 022 # what is installed, the door's own user reads

usage() {
  cat <<'TEXT'
usage: sudo ./systemd/install.sh [--offline DIR] [--no-start]
       sudo ./systemd/install.sh --uninstall [--purge]

  --offline DIR  take every wheel from DIR (`make wheelhouse`), use no network
  --no-start     leave the door stopped
  --uninstall    remove program and service; people, audit, configuration and backups stay
  --purge        with --uninstall: remove those too, and the user
  --dry-run      only say what would be done
  --root DIR     install below DIR instead of /, without touching the running system (for tests)
  --packaged     for the .deb, which brings the units itself …
  --place        … because it was built with this: only put the units below --root
TEXT
}

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offline='' root='' start=yes dry='' purge='' packaged='' action=install
while [ $# -gt 0 ]; do
  case $1 in
  --offline | --root)
    [ $# -gt 1 ] || fail "$1 needs a directory"
    [ "$1" = --offline ] && offline=$2 || root=$2
    shift
    ;;
  --no-start) start= ;;
  --dry-run) dry=yes ;;
  --uninstall) action=uninstall ;;
  --purge) purge=yes ;;
  --packaged) packaged=yes ;;
  --place) action=place ;;
  --help | -h)
    usage
    exit
    ;;
  *)
    usage >&2
    fail "unknown option $1"
    ;;
  esac
  shift
done
[ -z "$purge" ] || [ "$action" = uninstall ] || fail "--purge goes with --uninstall"
[ -n "$root$dry" ] || [ "$(id -u)" = 0 ] || fail "must be root: sudo $0"
root=${root%/}
if [ -n "$offline" ]; then
  [ -d "$offline" ] || fail "--offline $offline: there is no such directory; make wheelhouse"
  offline=$(cd "$offline" && pwd)
fi

lib=$root/usr/local/lib bin=$root/usr/local/bin
[ -z "$packaged" ] || lib=$root/usr/lib bin=$root/usr/bin
opt=$root/opt/janus etc=$root/etc/janus
# systemd writes a dash inside a name so.
camera=$lib/systemd/system/'dev-janus\x2dcamera.device.d'
units=(janus.service janus-retry.timer janus-backup.service janus-backup.timer)

run() { # every change goes through here
  if [ -n "$dry" ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}
live() { [ -z "$root" ] && [ -d /run/systemd/system ]; } # is this the running system?

files() { # what is placed: source, destination, mode
  local unit
  for unit in "${units[@]}"; do
    echo "$unit $lib/systemd/system/$unit 644"
  done
  echo "dev-janus-camera.conf $camera/janus.conf 644"
  echo "sysusers.d/janus.conf $lib/sysusers.d/janus.conf 644"
  echo "tmpfiles.d/janus.conf $lib/tmpfiles.d/janus.conf 644"
  echo "udev/70-janus.rules $lib/udev/rules.d/70-janus.rules 644"
  echo "janus-wrapper $bin/janus 755"
  echo "janus-backup $opt/backup 755"
}

find_python() {
  local python
  for python in python3 python3.13 python3.11; do
    if "$python" -c 'import sys, venv; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 13)))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
  fail "needs Python 3.11 (Bookworm) or 3.13 (Trixie); $(python3 --version 2>&1 || echo none) is here"
}

check_machine() { # the kernel may be 64-bit where nothing else is
  local architecture
  architecture=$(dpkg --print-architecture)
  case $architecture in
  arm64 | amd64) ;;
  *) fail "there are no wheels for $architecture; install the 64-bit Raspberry Pi OS" ;;
  esac
}

packages() { # what apt has to give: camera and pins; OpenCV comes as a wheel
  local wanted=(python3-venv) package
  for package in python3-picamera2 python3-lgpio; do
    # Only Raspberry Pi's archive has picamera2; on Bookworm lgpio comes as a wheel.
    if apt-cache show "$package" >/dev/null 2>&1; then
      wanted+=("$package")
    fi
  done
  run apt-get install --yes --no-install-recommends "${wanted[@]}"
}

tell_what_is_missing() { # PYTHON, where apt could not be asked
  local module
  for module in picamera2 lgpio; do
    if ! "$1" -c "import importlib.util as u, sys; sys.exit(not u.find_spec('$module'))"; then
      echo "note: $module is not here; for $([ $module = lgpio ] && echo pins || echo 'a Pi camera') run: apt install python3-$module"
    fi
  done
}

make_release() { # VENV: a whole new one beside the old
  local venv=$1 python pip
  python=$(find_python)
  if [ -n "$offline" ]; then
    (cd "$offline" && sha256sum --check --quiet SHA256SUMS) ||
      fail "$offline is damaged or incomplete; copy it again"
    # pip from the wheelhouse: Debian has ensurepip in a package of its own.
    pip=$(find "$offline" -name 'pip-*.whl' | head -n 1)
    [ -n "$pip" ] || fail "$offline holds no pip; make wheelhouse"
    run "$python" -m venv --system-site-packages --without-pip "$venv"
    run env PYTHONPATH="$pip" "$venv/bin/python" -m pip install --quiet --no-index \
      --find-links "$offline" --no-warn-script-location 'janus-door[pi]'
  else
    run "$python" -m venv --system-site-packages "$venv"
    run "$venv/bin/python" -m pip install --quiet "$(dirname "$here")[pi]"
  fi
  # Some wheels import and then die: build the interpreter before anything depends on it.
  run env -C "$opt" "$venv/bin/python" -c \
    'from edge.config import DoorConfig; from edge.service import open_encoder; open_encoder(DoorConfig())'
  [ -n "$dry" ] || tell_what_is_missing "$venv/bin/python"
}

switch_to() { # VENV: by one rename; the one before stays for the door that still runs on it
  local new=$1 old other
  old=$(readlink "$opt/current" || true)
  run ln -sfn "$new" "$opt/current.partial"
  run mv -T "$opt/current.partial" "$opt/current"
  for other in "$opt"/releases/*; do
    if [ "$other" != "$new" ] && [ "$other" != "$old" ] && [ -d "$other" ]; then
      run rm -rf "$other"
    fi
  done
}

make_user() {
  if [ -n "$root" ]; then
    run systemd-sysusers --root="$root" "$lib/sysusers.d/janus.conf"
  else
    run systemd-sysusers "$lib/sysusers.d/janus.conf"
  fi
}

make_directories() {
  if [ -z "$root" ]; then
    run systemd-tmpfiles --create "$lib/tmpfiles.d/janus.conf"
  elif [ "$(id -u)" = 0 ]; then
    run systemd-tmpfiles --root="$root" --create "$lib/tmpfiles.d/janus.conf"
  fi
}

configure() { # a configuration that is there stays as it is
  run install -d -m 750 "$etc"
  if [ -n "$dry" ]; then
    echo "write $etc/janus.toml.example and, if there is none, $etc/janus.toml"
    return
  fi
  example "$etc/janus.toml.example" 644
  if [ ! -e "$etc/janus.toml" ]; then
    example "$etc/janus.toml" 640
  fi
}
example() { # DEST MODE: it appears whole
  "$opt/current/bin/janus" config --example | install -m "$2" /dev/stdin "$1.partial"
  mv -f "$1.partial" "$1"
}

enable() {
  local on=(janus.service janus-backup.timer)
  if ! live; then
    run systemctl --root="${root:-/}" enable "${on[@]}"
    return
  fi
  run systemctl daemon-reload
  run udevadm control --reload
  run udevadm trigger --subsystem-match=gpio --subsystem-match=video4linux \
    --subsystem-match=media --subsystem-match=dma_heap
  run systemctl enable "${on[@]}"
  if [ -n "$start" ]; then
    run systemctl start janus-backup.timer
    run systemctl restart --no-block janus.service
  fi
}

place_janus() {
  local source destination mode
  while read -r source destination mode; do
    run install -D -m "$mode" "$here/$source" "$destination"
  done < <(files)
}

install_janus() {
  check_machine
  if [ -z "$offline$root" ]; then
    packages
  fi
  release=$opt/releases/$(date -u +%Y%m%dT%H%M%SZ)-$$
  run install -d -m 755 "$opt/releases"
  if [ -z "$dry" ]; then
    trap 'rm -rf "$release"' EXIT # an unfinished one is of no use
  fi
  make_release "$release"
  if [ -z "$packaged" ]; then
    place_janus
  fi
  make_user
  switch_to "$release"
  trap - EXIT
  configure
  make_directories
  enable
  [ -n "$dry" ] || cat <<TEXT
Janus is installed. Now:
  sudoedit /etc/janus/janus.toml        which camera, which pin
  sudo janus check                      a line for each part
  sudo janus enrol Ada ada.jpg          who may come in
  sudo systemctl restart janus; janus status
TEXT
}

uninstall_janus() {
  local destination
  if live; then
    run systemctl disable --now "${units[@]}" || true # some may be gone already
  else
    run systemctl --root="${root:-/}" disable janus.service janus-backup.timer || true
  fi
  if [ -z "$packaged" ]; then
    while read -r _ destination _; do
      run rm -f "$destination"
    done < <(files)
    run rm -rf "$camera"
  fi
  run rm -rf "$opt"
  if live; then
    run systemctl daemon-reload
    run udevadm control --reload
  fi
  if [ -n "$purge" ]; then
    run rm -rf "$root/var/lib/janus" "$root/var/backups/janus" "$etc" "$root/etc/credstore/janus-storage-key" \
      "$root/etc/credstore/janus-backup-passphrase"
    if [ -z "$root" ] && id janus >/dev/null 2>&1; then
      run userdel janus
    fi
  else
    echo "People, audit, configuration and backups are still in $root/var/lib/janus, $etc and" \
      "$root/var/backups/janus; --purge removes them."
  fi
}

"${action}_janus"
