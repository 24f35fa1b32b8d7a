"""Compare what one int8 encoder gives on x86-64 with what it gives on emulated aarch64.

    apt-get install qemu-user-static mmdebstrap
    python tests/arm/embeddings.py edge/model --work /var/tmp/janus-arm \
        --pictures ../shared/data/att-faces --crops 8

Without --pictures the three rendered crops of tests/golden are taken. Debian's arm64 packages come
from Debian's mirror, wheels from wherever pip is configured to look; nothing of them is run as root
or registered with the kernel. Emulation is slow, and says nothing about time.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from edge.bundles.bundle import inspect_bundle
from edge.tflite import RUNTIMES, open_network

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
EMULATOR, MAKER = "qemu-aarch64-static", "mmdebstrap"
# Bookworm's Python, and what the edge pins for it.
PYTHON, RELEASE = "3.11", "bookworm"
WHEELS = (
    "numpy==1.26.4", "opencv-python-headless==4.11.0.86", "ai-edge-litert==2.3.0",
    "tflite-runtime==2.14.0",
)  # fmt: skip
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17")
# A Pi 4's and a Pi 5's, with their part number and what they tell of themselves: the runtimes
# choose kernels by both.
PROCESSORS = {
    "cortex-a72": (0xD08, "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": (
        0xD0B,
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc "
        "dcpop asimddp",
    ),
}


def main() -> None:
    """Make the emulated machine where there is none, run every way, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="kept; 300 MB")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--crops", type=int, default=8)
    arguments = parser.parse_args()
    for program in (EMULATOR, MAKER):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing; run: apt-get install qemu-user-static mmdebstrap")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    make_machine(work / "root", work / "site")
    encoder = inspect_bundle(arguments.bundle).encoder
    (work / "encoder.tflite").write_bytes(encoder)
    np.save(work / "crops.npy", crops_of(arguments.pictures, arguments.crops))
    zero_point = open_network(encoder, "encoder").outputs[0].quantization.zero_point
    here = {each: levels(work, each) - zero_point for each in RUNTIMES}
    machine = platform.machine()
    one, other = RUNTIMES
    tell(f"{machine}: {one} and {other}", here[one], here[other])
    for processor in PROCESSORS:
        show_processor(work / "root", processor)
        there = {each: levels(work, each, processor) - zero_point for each in RUNTIMES}
        tell(f"aarch64 ({processor}): {one} and {other}", there[one], there[other])
        for each in RUNTIMES:
            tell(f"{each}: {machine} and aarch64 ({processor})", here[each], there[each])


def make_machine(root: Path, site: Path) -> None:
    """Unpack Debian's arm64 Python and the edge's aarch64 wheels, unless they are there."""
    if not root.is_dir():
        partial = root.with_suffix(".partial")
        options = ["--variant=extract", "--architectures=arm64", "--include=python3,libstdc++6"]
        subprocess.run([MAKER, "--quiet", *options, RELEASE, str(partial)], check=True)
        partial.rename(root)
    if not site.is_dir():
        partial = site.with_suffix(".partial")
        named = [f"--platform={each}_aarch64" for each in PLATFORMS]
        options = [f"--python-version={PYTHON}", "--implementation=cp", "--only-binary=:all:"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", f"--target={partial}"]
        subprocess.run([*pip, *named, *options, *WHEELS], check=True)
        partial.rename(site)


def show_processor(root: Path, processor: str) -> None:
    """Put a /proc/cpuinfo into *root*: of this machine's own, ai-edge-litert dies there."""
    part, features = PROCESSORS[processor]
    facts = {
        "BogoMIPS": "108.00",
        "Features": features,
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": f"{part:#x}",
        "CPU revision": "3",
    }
    lines = [f"{name}\t: {value}\n" for name, value in facts.items()]
    text = "".join(f"processor\t: {at}\n{''.join(lines)}\n" for at in range(os.cpu_count() or 1))
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(text, encoding="ascii")


def crops_of(pictures: Path | None, most: int) -> np.ndarray:
    """Return (N, 112, 112, 3) uint8 RGB crops: of *pictures*, or rendered ones."""
    if pictures is None:
        files = sorted((HERE.parent / "golden").glob("crop_*.png"))
        return np.stack([cv2.imread(str(each))[..., ::-1] for each in files])
    from convert.pictures import evenly, read_pictures  # needs the workstation extra

    pixels = read_pictures(pictures).crops.pixels
    return pixels[evenly(len(pixels), most)]


def levels(work: Path, runtime: str, processor: str | None = None) -> np.ndarray:
    """Return the output's levels (N, D), of this machine or of an emulated *processor*."""
    out = work / "levels.npy"
    out.unlink(missing_ok=True)
    script = [str(HERE / "levels.py"), str(work / "encoder.tflite"), str(work / "crops.npy")]
    if processor is None:
        command, paths = [sys.executable], [CHECKOUT]
    else:
        root = work / "root"
        python = root / "usr" / "bin" / f"python{PYTHON}"
        command = [EMULATOR, "-cpu", processor, "-L", str(root), str(python)]
        paths = [work / "site", CHECKOUT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # it would be aarch64's beside this machine's
    subprocess.run([*command, *script, runtime, str(out)], check=True, env=environment)
    return np.load(out).astype(np.float64)


def tell(what: str, one: np.ndarray, other: np.ndarray) -> None:
    """Print how far two sets of levels are apart, and the embeddings made of them."""
    apart = np.abs(one - other)
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (one, other)]
    cosines = np.sum(units[0] * units[1], axis=1)
    print(
        f"{what}, {len(one)} crops: equal in {(apart.max(axis=1) == 0).mean():.0%}, at most "
        f"{apart.max():.0f} levels apart (a feature by {np.abs(units[0] - units[1]).max():.4f}), "
        f"cosine {cosines.min():.5f} at least, {cosines.mean():.5f} on average"
    )


if __name__ == "__main__":
    main()
