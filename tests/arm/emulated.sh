# For lifecycle and make_machine to source: an emulated 64-bit ARM machine in the directory $root.

inside() { # COMMAND…: in the emulated machine, whose processor is a Pi 4's
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    QEMU_CPU=cortex-a72 chroot "$root" "$@"
}

open_root() { # TAR
  mkdir -p "$root"
  tar -xf "$1" -C "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  for processor in $(seq 0 $(($(nproc) - 1))); do
    printf '%s\n' "processor : $processor" "Features : fp asimd evtstrm crc32 cpuid" \
      "CPU implementer : 0x41" "CPU architecture: 8" "CPU variant : 0x0" "CPU part : 0xd08" \
      "CPU revision : 3" ''
  done >"$root/srv/cpuinfo"
  mount --bind "$root/srv/cpuinfo" "$root/proc/cpuinfo" # with the host's own, ai-edge-litert dies
}

close_root() {
  umount -R "$root/dev" "$root/proc"
}
