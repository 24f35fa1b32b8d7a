"""`janus run` whose device is scripted, and any of whose stages can be told to misbehave.

Started as a program by `supervised.py`. Everything but the device and the GPIO library is the real
door. In the folder $FAULTY_SITE the file `fault` holds "stage kind" while a fault lasts, `scene`
who stands before the camera ("nobody", "ada"), and `input-27` the level of the contact's pin.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

SITE = Path(os.environ["FAULTY_SITE"])
FRAME_S = float(os.environ.get("FAULTY_FRAME_S", "0.066"))
# (2, N, H, W, 3) uint8 RGB: of an empty room, and of Ada in it; see `faults.draw`.
PICTURES = np.load(os.environ["FAULTY_PICTURES"])


class OddError(Exception):
    """What foreign code raises: nothing of Janus knows it."""


# Opened once, for some faults leave no descriptor to open anything with.
WORDS = {name: os.open(SITE / name, os.O_RDONLY) for name in ("fault", "scene", "input-27")}


def said(name: str) -> str:
    """Return what a file of the site says now."""
    return os.pread(WORDS[name], 100, 0).decode("ascii").strip()


def kind_for(stage: str) -> str:
    """Return how *stage* is to misbehave now, "" if it is not to."""
    where, _, kind = said("fault").partition(" ")
    return kind if where == stage else ""


def faulty(stage: str, act, garbage=None):
    """Return *act*, which raises, stalls or returns garbage while it is told to."""

    def told(*words, **named):
        kind = kind_for(stage)
        if kind == "raise":
            raise OddError(f"{stage} raises, as asked")
        if kind == "stall":
            threading.Event().wait()
        if kind == "slow":
            time.sleep(0.4)
        given = act(*words, **named)
        return garbage(given) if kind == "garbage" else given

    return told


class Device:
    """The camera: every picture is another, as with a real sensor."""

    advice = "look at the test"

    def __init__(self) -> None:
        self._count = 0
        self._given = [PICTURES[0, 0]]

    def open(self) -> None:
        from edge.errors import CameraError

        if kind_for("camera") == "disappear":
            raise CameraError("there is no camera, as asked")

    def read(self) -> np.ndarray:
        from edge.errors import CameraError

        if FRAME_S:
            time.sleep(FRAME_S)
        self._count += 1
        kind = kind_for("camera")
        if kind == "raise":
            raise OddError("the camera raises, as asked")
        if kind == "disappear":
            raise CameraError("the cable was pulled, as asked")
        if kind == "stall":
            threading.Event().wait()
        if kind == "frozen":
            return self._given[-1].copy()
        if kind == "loop":
            return self._given[self._count % len(self._given)].copy()
        if kind == "black":
            noise = np.random.default_rng(self._count)
            return noise.integers(0, 4, self._given[-1].shape, np.uint8)
        if kind == "garbage":
            return np.zeros((7, 9), np.float64)
        # In the soak some hundred frames of an empty room, then a visit, and so on.
        scene = said("scene")
        visit = scene == "ada" or (scene == "visits" and self._count % 400 > 360)
        picture = PICTURES[int(visit), self._count % len(PICTURES[0])].copy()
        picture[0, 0] = (self._count & 255, self._count >> 8 & 255, self._count >> 16 & 255)
        self._given = [*self._given[-3:], picture]
        return picture.copy()

    def close(self) -> None:
        pass


class Alert:
    """What lgpio gives for an edge that it listens to; the door reads the level itself, too."""

    def cancel(self) -> None:
        pass


def install() -> None:
    """Put the device and the faults between the door's stages."""
    import lgpio

    hold_lines_open(lgpio)
    from edge import align, audit, detect, embed, gallery, pipeline, service
    from edge.access import gate
    from edge.live import LiveCamera
    from edge.stores import snapshots
    from edge.vocabulary import Candidate

    lgpio.gpio_claim_alert = lambda *_: None
    lgpio.callback = lambda *_: Alert()
    lgpio.gpio_read = faulty("contact", lambda _, pin: int(said(f"input-{pin}")))
    writing = lgpio.gpio_write

    def write(chip, pin, level):
        wanted = "relay" if pin == 17 else "led"
        if kind_for(wanted) == "raise":
            raise lgpio.error("the pin cannot be driven, as asked")
        return faulty(wanted, writing)(chip, pin, level)

    lgpio.gpio_write = write

    service.open_camera = lambda config: LiveCamera(Device(), timeout_s=config.timeout_s)

    class FaultyStage:
        def __init__(self, inner, **methods):
            self._inner = inner
            for name, method in methods.items():
                setattr(self, name, method)

        def __getattr__(self, name):
            return getattr(self._inner, name)

    open_detector, open_embedder = detect.open_detector, embed.open_embedder

    def detector(*words, **named):
        inner = open_detector(*words, **named)
        return FaultyStage(inner, detect=faulty("detect", inner.detect, lambda _: ("no face",)))

    def embedder(*words, **named):
        inner = open_embedder(*words, **named)
        spoilt = lambda given: type(given)(given.vector * np.float32("nan"), given.model_id)  # noqa: E731
        return FaultyStage(inner, embed=faulty("embed", inner.embed, spoilt))

    service.open_detector, service.open_embedder = detector, embedder
    pipeline.follow = faulty("track", pipeline.follow, lambda _: (None, ()))
    pipeline.align = faulty("align", align.align, lambda _: None)
    pipeline.flaws = faulty("quality", pipeline.flaws, lambda _: (7,))
    pipeline.rank = faulty(
        "match", pipeline.rank, lambda given: tuple(Candidate(c.subject_id, 7.0) for c in given)
    )
    pipeline.step = faulty("decide", pipeline.step, lambda _: (None, None))
    gallery.GalleryStore.changed = faulty("gallery", gallery.GalleryStore.changed)
    gate.Gate.consider = faulty("gate", gate.Gate.consider, lambda _: None)
    audit.Audit._append = faulty("audit", audit.Audit._append, lambda _: None)
    snapshots.Snapshots._write = faulty("snapshots", snapshots.Snapshots._write)
    threading.Thread(target=hold_the_interpreter, daemon=True).start()


def hold_lines_open(lgpio) -> None:
    """Let the stand-in drive lines as the real library does: by what was opened at the start."""
    board = Path(os.environ["FAKE_LGPIO"])
    opened: dict[int, tuple[int, int]] = {}

    def drive(gpio: int, level: str) -> None:
        if gpio not in opened:
            opened[gpio] = (
                os.open(board / f"level-{gpio}", os.O_WRONLY | os.O_CREAT, 0o666),
                os.open(board / f"history-{gpio}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666),
            )
        now, history = opened[gpio]
        os.pwrite(now, level.encode(), 0)
        os.write(history, f"{time.monotonic():.3f} {os.getpid()} {level}\n".encode())

    lgpio._drive = drive


def hold_the_interpreter() -> None:
    """Keep the interpreter's lock in native code while told to: no thread of Python runs then."""
    while True:
        time.sleep(0.1)
        if kind_for("interpreter") == "stall":
            ctypes.PyDLL(None).sleep(3600)
        if kind_for("interpreter") == "crash":
            ctypes.string_at(0)
        if kind_for("memory") == "garbage" and not HOARD:
            hoard()


HOARD: list[bytearray] = []


def hoard() -> None:
    """Take what memory the process has set aside, piece by piece; its limit forbids it any more."""
    for size in (1 << 20, 1 << 16, 1 << 12, 1 << 8):
        for _ in range((64 << 20) // size):
            try:
                HOARD.append(bytearray(size))
            except MemoryError:
                break


if __name__ == "__main__":
    install()
    from edge.cli import main

    sys.exit(main(["run"]))
