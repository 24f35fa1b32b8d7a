"""One run of the real pipeline with a recorder beside it, and the report that it leaves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge import __version__
from edge.audit import Audit
from edge.bundles.bundle import Bundle
from edge.camera import Camera
from edge.config import SHIPPED_BUNDLE, DecisionConfig, DoorConfig, EncoderConfig
from edge.demo.film import Film
from edge.demo.record import Recorder
from edge.demo.report import Report
from edge.detect import Detector, open_detector
from edge.doorkeeper import Doorkeeper, timing_of
from edge.embed import Embedder
from edge.enrolment import Enroller
from edge.errors import CameraError, ConfigError
from edge.gallery import GalleryStore
from edge.pipeline import Door, Step, policy_from, watch
from edge.promise import promise
from edge.service import open_encoder
from edge.testing import RecordingRelay
from edge.vocabulary import Embedding, Frame

FILM_FILE, REPORT_FILE = "demo.webm", "report.html"
# A demonstration has no keypad, and shows what a face alone can do. The report states this rate.
FALSE_ACCEPT_PER_VISIT = 0.05


@dataclass(frozen=True, slots=True)
class Stages:
    """What every kind of demo shares: the shipped model and the default limits."""

    config: DoorConfig
    bundle: Bundle
    embedder: Embedder
    detector: Detector

    @property
    def enroller(self) -> Enroller:
        """The stages that turn a photo into a reference."""
        return Enroller(self.detector, self.embedder, self.config.quality)


def open_stages() -> Stages:
    """Open the shipped bundle and the default detector.

    Raises:
        BundleError: if the bundle is not to be trusted or does not fit.
    """
    # Whatever this machine's door has installed: a demonstration touches none of it.
    config = DoorConfig(
        encoder=EncoderConfig(bundle=SHIPPED_BUNDLE),
        decision=DecisionConfig(false_accept_per_visit=FALSE_ACCEPT_PER_VISIT),
    )
    bundle, embedder = open_encoder(config)
    detector = open_detector(config.detector, runtime=config.encoder.runtime, eyes=bundle.eyes)
    return Stages(config, bundle, embedder, detector)


def prepare(out: Path) -> None:
    """Make the folder *out*, if it is not there yet.

    Raises:
        ConfigError: if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"--out {out}: {exc.strerror}; name a folder that can be made") from exc


@dataclass(frozen=True, slots=True)
class Session:
    """A door with a recording relay, its people enrolled, and a recorder that follows it."""

    door: Door
    relay: RecordingRelay
    recorder: Recorder

    def run(
        self,
        also: Callable[[Step], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run the door until its camera ends or *should_stop*; *also* sees each step.

        Raises:
            CameraError: if the camera gave no frame at all.
            DoorError: from whichever stage failed.
        """

        def on_step(step: Step) -> None:
            self.recorder(step)
            also(step)

        watch(self.door, on_step, should_stop)
        if not self.recorder.moments:
            raise CameraError("the camera gave no frame; there is nothing to report")


class FrameClock:
    """A camera whose newest frame tells the time, so that a rendered second is a second.

    Args:
        camera: gives the frames.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._now_s = 0.0

    def __call__(self) -> float:
        """Return the time of the newest frame, in seconds."""
        return self._now_s

    def frames(self) -> Iterator[Frame]:
        """Yield the camera's frames."""
        for frame in self._camera.frames():
            self._now_s = frame.captured_at_s
            yield frame

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()


@contextmanager
def open_session(
    stages: Stages,
    camera: Camera,
    enrolled: Mapping[str, Sequence[Embedding]],
    visit_of: Callable[[Step], str],
    out: Path,
) -> Iterator[Session]:
    """Open a door on *camera* with *enrolled* in its gallery; the film goes to *out*.

    Gallery and audit live in a temporary folder: a demo leaves no references behind.
    """
    config, bundle = stages.config, stages.bundle
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="janus-demo-")))
        gallery = stack.enter_context(
            closing(GalleryStore(folder / "gallery.sqlite", stages.embedder.model_id))
        )
        audit = stack.enter_context(closing(Audit(folder / "audit.sqlite")))
        for name, embeddings in enrolled.items():
            gallery.enrol(name, embeddings)
        clock = stack.enter_context(closing(FrameClock(camera)))
        relay = stack.enter_context(closing(RecordingRelay(clock)))
        film = stack.enter_context(closing(Film(out / FILM_FILE)))
        keeper = Doorkeeper(relay, audit, timing_of(config), clock=clock)
        door = Door(
            camera=clock,
            detector=stages.detector,
            embedder=stages.embedder,
            gallery=gallery,
            limits=config.quality,
            policy=policy_from(
                config.decision, bundle.operating_point, bundle.evidence, stages.embedder.model_id
            ),
            keeper=keeper,
        )
        recorder = Recorder(film, relay, names=gallery.names(), visit_of=visit_of)
        yield Session(door, relay, recorder)


def facts(stages: Stages, session: Session) -> dict[str, str]:
    """Return the report's small print."""
    point = stages.bundle.operating_point
    moments = session.recorder.moments
    broken = session.door.keeper.audit.verify()
    return {
        "model": f"{stages.bundle.name}, id {stages.embedder.model_id[:12]}",
        "threshold": (
            f"{point.threshold:.3f}: FMR {point.fmr:.2g}, FNMR {point.fnmr:.2g} on "
            f"{point.data_id} ({point.comparisons:,} non-mated, {point.mated:,} mated comparisons)"
        ),
        "decision": str(promise(session.door.policy, len(session.door.gallery.load().subject_ids))),
        "frames": (
            f"{len(moments)}: a face in {sum(each.found for each in moments)}, "
            f"judged in {sum(each.judged for each in moments)}"
        ),
        "relay": f"released {len(session.relay.releases)} times; locked at the end"
        if not session.relay.released
        else "STILL RELEASED at the end",
        "audit": f"the chain {'verifies' if broken is None else f'is broken: {broken}'}",
        "versions": f"janus-door {__version__}, OpenCV {cv2.__version__}",
    }


def write_report(report: Report, out: Path) -> None:
    """Write *report* into *out* and say where it is.

    Raises:
        ConfigError: if it cannot be written.
    """
    path = out / REPORT_FILE
    try:
        path.write_text(report.html(), encoding="utf-8")
    except OSError as exc:
        raise ConfigError(
            f"{path} cannot be written: {exc.strerror}; make room or name --out"
        ) from exc
    print(f"\n{report.verdict}\nreport: {path}\nfilm:   {out / FILM_FILE}")
