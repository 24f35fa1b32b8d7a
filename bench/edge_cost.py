"""What the door costs: frames a second, time of each stage, memory, start-up; dlib's beside it.

    python bench/edge_cost.py [--frames 200] [--peer-frames 20] [--json edge.json]

Frames of 640 x 480 with one face and with three (scikit-image's astronaut, shifted and with noise),
a gallery of 100 people, one thread. Each line of stages runs in a process of its own, which is
given one frame after the other, as by a camera; reading them counts for nobody's time. `resident`
is the most that was ever resident in it (VmHWM), `private` what of it is no mapped file (RssAnon,
at the end). `CPU` is frames per second of processor time, for machines that are busy.

The peer is what `face_recognition` 1.3.0 does with a frame: HOG detector on the frame at twice its
size, five points, ResNet, Euclidean distance, with dlib 20 and its models (`pip install
'janus-door[peers]'`; without them its lines are left out). The package loads two more models than
that needs when it is imported; `its models only` is the same line without them. It embeds every
face, the door only the largest: that is its line, and `all` embeds all of them too.

The service is the real one (tests/support/faulty_door.py), from its start until it is ready and
from SIGTERM to its end. Exit code 1 unless the door has ten times the frames of the peer per second
of processor time, and half its resident memory.
"""

# ruff: noqa: E402 - numpy reads the number of threads when it is imported
from __future__ import annotations

import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

PEOPLE = 100
PICTURES = 8
WARM_UP = 5
FASTER, LEANER = 10.0, 0.5
PACKAGE = "face_recognition"
PEERS = (PACKAGE, "its models only")
Report = dict[str, Any]
# Part of the path of a mapped file → what it belongs to; the first that fits.
MAPPED = {
    "opencv": "OpenCV and its libraries",
    "cv2": "OpenCV and its libraries",
    "numpy": "numpy and its OpenBLAS",
    "litert": "the TFLite runtime",
    "dlib": "dlib",
    "libcrypto": "OpenSSL",
    "python": "Python",
    "/": "other libraries",
}


class Stages:
    """Times of stages: how long each took for every frame, in milliseconds of wall time."""

    def __init__(self) -> None:
        self.took_ms: dict[str, list[float]] = {}
        self.unused: tuple[object, ...] = ()

    def timed(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """Return *act*, whose time counts for *name*."""

        def measured(*words: Any, **named: Any) -> Any:  # noqa: ANN401 - any stage
            began_s = time.perf_counter()
            try:
                return act(*words, **named)
            finally:
                self.took_ms.setdefault(name, []).append((time.perf_counter() - began_s) * 1000)

        return measured

    def quantiles(self) -> dict[str, list[float]]:
        """Return p50 and p95 of each stage."""
        return {
            name: [round(float(each), 3) for each in np.percentile(took, (50, 95))]
            for name, took in self.took_ms.items()
        }


def our_line(stages: Stages, stack: ExitStack, folder: Path, *, all_faces: bool) -> Any:  # noqa: ANN401
    """Return what takes one frame through every stage of the door, opened as the service does."""
    from edge import pipeline
    from edge.audit import Audit
    from edge.config import DoorConfig
    from edge.decide import VisitState
    from edge.detect import open_detector
    from edge.door import Timing
    from edge.doorkeeper import Doorkeeper
    from edge.gallery import GalleryStore
    from edge.service import open_encoder
    from edge.testing import RecordingRelay
    from edge.track import Tracks
    from edge.vocabulary import Frame, Observation

    config = DoorConfig()
    bundle, embedder = open_encoder(config)
    detector = open_detector(config.detector, eyes=bundle.eyes, frames=True)
    gallery = stack.enter_context(closing(GalleryStore(folder / "gallery", bundle.model_id)))
    audit = stack.enter_context(closing(Audit(folder / "audit")))
    keeper = Doorkeeper(RecordingRelay(), audit, Timing(release_s=3.0, cap_s=10.0))
    for name, label in (
        ("follow", "track"), ("align", "align"), ("flaws", "quality"), ("rank", "match"),
        ("step", "decide"),
    ):  # fmt: skip
        setattr(pipeline, name, stages.timed(label, getattr(pipeline, name)))

    class Timed:
        model_id = embedder.model_id
        detect = staticmethod(stages.timed("detect", detector.detect))
        embed = staticmethod(stages.timed("embed", embedder.embed))

    door = pipeline.Door(
        camera=None,  # type: ignore[arg-type] - frames are given
        detector=Timed(),
        embedder=Timed(),
        gallery=gallery,
        limits=config.quality,
        policy=pipeline.policy_from(
            config.decision, bundle.operating_point, bundle.evidence, bundle.model_id
        ),
        keeper=keeper,
    )
    judge = stages.timed("audit and door", keeper.judge)
    state, tracks, people = VisitState(), Tracks(), gallery.load()

    def through(pixels: Any, index: int) -> int:  # noqa: ANN401
        nonlocal state, tracks
        frame = Frame(pixels, index / 15.0, index)
        if all_faces:
            found = door.detector.detect(pixels)
            tracks, ids = pipeline.follow(tracks, found, frame.captured_at_s)
            faces = tuple(
                pipeline.examine(frame, each, people, door, track=track)
                for each, track in zip(found, ids, strict=True)
            )
            seen = Observation(frame.captured_at_s, faces, PEOPLE, len(found))
        else:
            tracks, seen = pipeline.observe(frame, tracks, people, door)
        state, decision = pipeline.step(state, seen, door.policy)
        judge(decision, seen)
        return len(seen.faces) if all_faces else seen.in_view

    return through


def peer_line(stages: Stages, *, whole: bool) -> Any:  # noqa: ANN401 - as above
    """Return what face_recognition's `face_locations`, `face_encodings`, `face_distance` do."""
    import dlib
    import PIL.Image  # noqa: F401 - as the package does

    found = importlib.util.find_spec("face_recognition_models")
    if found is None or found.origin is None:
        raise ImportError("face_recognition_models is not installed")
    models = Path(found.origin).parent / "models"
    detector = dlib.get_frontal_face_detector()
    if whole:  # what the package loads when it is imported, and this line never calls
        stages.unused = (
            dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat")),
            dlib.cnn_face_detection_model_v1(str(models / "mmod_human_face_detector.dat")),
        )
    points = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    encoder = dlib.face_recognition_model_v1(
        str(models / "dlib_face_recognition_resnet_model_v1.dat")
    )
    known = np.random.default_rng(0).standard_normal((PEOPLE, 128))
    detect, land = stages.timed("detect", detector), stages.timed("landmarks", points)
    embed = stages.timed("embed", encoder.compute_face_descriptor)
    match = stages.timed("match", lambda probe: np.linalg.norm(known - probe, axis=1) <= 0.6)

    def through(pixels: Any, _: int) -> int:  # noqa: ANN401 - as above
        places = detect(pixels, 1)
        for place in places:
            match(np.array(embed(pixels, land(pixels, place), 1)))
        return len(places)

    return through


def enrol_people(path: Path) -> None:
    """Write a gallery of strangers for the shipped model: random directions."""
    from edge.bundles.installed import open_bundle
    from edge.config import DoorConfig
    from edge.gallery import GalleryStore
    from edge.vocabulary import Embedding

    model_id = open_bundle(DoorConfig()).model_id
    drawn = np.random.default_rng(0).standard_normal((PEOPLE, 128)).astype(np.float32)
    with GalleryStore(path, model_id) as gallery:
        for number, row in enumerate(drawn):
            gallery.enrol(f"Person {number}", [Embedding(row / np.linalg.norm(row), model_id)])


def work(line: str, frames: Path, count: int, began_s: float) -> Report:
    """Be one process: open the line, take *count* frames through it, and report."""
    stages, whole = Stages(), Stages()
    faces, cpu_s, wall_s = [], [], []
    with ExitStack() as stack:
        if line in PEERS:
            through = peer_line(stages, whole=line == PACKAGE)
        else:
            through = our_line(stages, stack, frames.parent, all_faces=line == "all")
        frame = whole.timed("frame", through)
        for index in range(WARM_UP + count):
            if index == WARM_UP:
                stages.took_ms.clear()
                whole.took_ms.clear()
            for kept, one in zip((faces, cpu_s, wall_s), timed(frame, frames, index), strict=True):
                kept.append(one)
            if index == 0:
                start_s = time.time() - began_s
    return {
        "faces": float(np.mean(faces[WARM_UP:])),
        "frames_per_s": count / sum(wall_s[WARM_UP:]),
        "frames_per_cpu_s": count / sum(cpu_s[WARM_UP:]),
        "stages_ms": whole.quantiles() | stages.quantiles(),
        "resident_mb": _memory_mb("VmHWM"),
        "private_mb": _memory_mb("RssAnon"),
        "mapped_mb": mapped_mb(),
        "start_s": start_s,
    }


def timed(frame: Callable[..., int], frames: Path, index: int) -> tuple[int, float, float]:
    """Take one frame; return its faces, and the seconds of processor and of the clock."""
    pixels = np.load(frames / f"{index % PICTURES}.npy")
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    found = frame(pixels, index)
    return found, time.process_time() - cpu_s, time.perf_counter() - wall_s


def _memory_mb(name: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise OSError(f"the kernel says no {name}")


def mapped_mb() -> dict[str, float]:
    """Return what is resident now of the files of each part, and of no file; proc(5) smaps."""
    found: dict[str, float] = {}
    part = ""
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split(maxsplit=5)
        if not words[0].endswith(":"):
            path = words[5] if len(words) > 5 else ""
            part = next((MAPPED[each] for each in MAPPED if each in path), "no file")
        elif words[0] == "Rss:":
            found[part] = found.get(part, 0.0) + int(words[1]) * 1024 / 1e6
    return {part: round(found[part], 1) for part in sorted(found, key=lambda each: -found[each])}


def draw(folder: Path, faces: int) -> None:
    """Write frames with one or three faces, each with another shift and other noise."""
    import astronaut

    drawn = np.random.default_rng(faces)
    folder.mkdir()
    for number in range(PICTURES):
        if faces == 1:
            frame = astronaut.frame(64 + number, side_px=512).astype(np.int16)
        else:
            frame = np.full((480, 640, 3), 110, np.int16)
            head = astronaut.picture()[10:230, 120 : 120 + 205]
            for place in range(faces):
                left = 6 + 212 * place + number % 4
                frame[120 : 120 + head.shape[0], left : left + head.shape[1]] = head
        noisy = np.clip(frame + drawn.integers(-3, 4, frame.shape), 0, 255)
        np.save(folder / f"{number}.npy", noisy.astype(np.uint8))


def measured(line: str, frames: Path, count: int) -> Report:
    """Run one line in a process of its own."""
    command = [sys.executable, __file__, "--work", line, str(frames), str(count), str(time.time())]
    # An installed program has its bytecode; to compile it takes memory.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{line}: {done.stderr}")
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return report


def service_times(times: int) -> dict[str, list[float]]:
    """Return after how many seconds the real service was ready, and had ended when asked.

    And how much of the processor's time its process had needed by then.
    """
    from faults import Fault, Site, enrolled_store

    ready, worked, ended = [], [], []
    with enrolled_store() as enrolled:
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                site = Site(Path(folder), Fault("none", lambda _: None), enrolled)
                site.fill()
                with site.managed() as manager:
                    began = manager.wait_for("start").at_s
                    ready.append(manager.wait_for("ready").at_s - began)
                    worked.append(_processor_s(manager.pid))
                    asked_s = time.monotonic()
                    manager.stop()
                    ended.append(manager.wait_for("exit").at_s - asked_s)
    return {"ready_s": ready, "ready_processor_s": worked, "ended_s": ended}


def _processor_s(pid: int) -> float:
    """Return the processor's time of a process so far: fields 14 and 15 of proc(5) stat."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(each) for each in after_name[11:13]) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure each line on each scene, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--peer-frames", type=int, default=20)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        line, frames, count, began_s = arguments.work
        print(json.dumps(work(line, Path(frames), int(count), float(began_s))))
        return 0
    has_peer = all(map(importlib.util.find_spec, ("dlib", "face_recognition_models")))
    lines = {"door": arguments.frames, "all": arguments.frames}
    if has_peer:
        lines |= dict.fromkeys(PEERS, arguments.peer_frames)
    reports: dict[str, dict[str, Report]] = {}
    print("| scene | line | faces | frames/s | CPU | resident, MB | private, MB | start-up, s |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        enrol_people(Path(folder) / "gallery")
        subprocess.run([sys.executable, "-m", "compileall", "-q", ROOT / "edge"], check=True)
        for scene, faces in (("one face", 1), ("three faces", 3)):
            path = Path(folder) / str(faces)
            draw(path, faces)
            reports[scene] = {}
            for line, count in lines.items():
                told = reports[scene][line] = measured(line, path, count)
                print(
                    f"| {scene} | {line} | {told['faces']:.2f} | {told['frames_per_s']:.1f} | "
                    f"{told['frames_per_cpu_s']:.1f} | {told['resident_mb']:.0f} | "
                    f"{told['private_mb']:.0f} | {told['start_s']:.2f} |",
                    flush=True,
                )
    _print_stages(reports)
    for line, told in reports["one face"].items():
        print(f"resident at the end, {line}:", told["mapped_mb"])
    service = service_times(arguments.starts)
    for name, took in service.items():
        print(f"service {name}: median {np.median(took):.2f}, worst {max(took):.2f} of {len(took)}")
    kept = _print_ratios(reports) if has_peer else True
    if arguments.json is not None:
        told = {"lines": reports, "service": service}
        arguments.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0 if kept else 1


def _print_stages(reports: dict[str, dict[str, Report]]) -> None:
    print("\n| scene | line | stage | p50, ms | p95, ms |\n|---|---|---|---|---|")
    for scene, lines in reports.items():
        for line, told in lines.items():
            for stage, (p50, p95) in told["stages_ms"].items():
                print(f"| {scene} | {line} | {stage} | {p50:.2f} | {p95:.2f} |")
    print()


def _print_ratios(reports: dict[str, dict[str, Report]]) -> bool:
    """Print how the door compares with its peer, and tell whether it keeps what is promised."""
    kept = True
    for scene, lines in reports.items():
        for line in ("door", "all"):
            ours, peer = lines[line], lines[PACKAGE]
            faster = ours["frames_per_cpu_s"] / peer["frames_per_cpu_s"]
            by_clock = ours["frames_per_s"] / peer["frames_per_s"]
            leaner = ours["resident_mb"] / peer["resident_mb"]
            private = ours["private_mb"] / peer["private_mb"]
            print(
                f"{scene}, {line}: {faster:.1f} times its frames per second of processor "
                f"time, {by_clock:.1f} by the clock; {leaner:.2f} of its resident memory, "
                f"{private:.2f} of its private memory"
            )
            kept &= line == "all" or (faster >= FASTER and leaner <= LEANER)
    return kept


if __name__ == "__main__":
    raise SystemExit(main())
