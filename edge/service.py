"""Open what the configuration names, run the door, and leave it locked whatever happens."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from types import FrameType

from edge.align import ALIGNMENT
from edge.audit import Audit
from edge.bundle import Bundle, read_bundle
from edge.camera import open_camera
from edge.config import DoorConfig
from edge.detect import open_detector
from edge.embed import Embedder, open_embedder
from edge.errors import DoorError
from edge.gallery import GalleryStore
from edge.pipeline import Door, Step, policy_from, watch
from edge.relay import open_relay
from edge.vocabulary import Decision, Outcome

log = logging.getLogger("janus")


def open_encoder(config: DoorConfig) -> tuple[Bundle, Embedder]:
    """Verify the bundle that *config* names and start its encoder.

    Raises:
        BundleError: if the bundle is not to be trusted or does not fit.
        ConfigError: if the runtime that is asked for is not installed.
    """
    bundle = read_bundle(config.encoder.bundle, alignment=ALIGNMENT)
    embedder = open_embedder(
        bundle.encoder,
        bundle.model_id,
        runtime=config.encoder.runtime,
        threads=config.encoder.threads,
    )
    return bundle, embedder


@contextmanager
def open_door(config: DoorConfig) -> Iterator[Door]:
    """Open every stage, the relay first so that the strike is locked while the rest starts.

    Raises:
        DoorError: from the first stage that cannot be opened; what was open is closed.
    """
    with ExitStack() as stack:
        relay = stack.enter_context(closing(open_relay(config.relay)))
        bundle, embedder = open_encoder(config)
        audit = stack.enter_context(closing(Audit(config.store.audit)))
        gallery = stack.enter_context(closing(GalleryStore(config.store.gallery, bundle.model_id)))
        detector = open_detector(config.detector, runtime=config.encoder.runtime)
        camera = stack.enter_context(closing(open_camera(config.camera)))
        yield Door(
            camera=camera,
            detector=detector,
            embedder=embedder,
            gallery=gallery,
            audit=audit,
            relay=relay,
            limits=config.quality,
            policy=policy_from(config.decision, bundle.operating_point, bundle.model_id),
            release_s=config.relay.release_s,
        )


def serve(config: DoorConfig) -> None:
    """Run the door until a signal or an error; the strike is locked either way.

    Raises:
        DoorError: from whichever stage failed.
        SystemExit: with 0 on SIGTERM and SIGHUP.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with open_door(config) as door:
        door.audit.note("start", model_id=door.embedder.model_id)
        reporter = Reporter(door.gallery)
        try:
            watch(door, on_step=reporter)
        except DoorError as exc:
            _note_quietly(door.audit, "error", error=type(exc).__name__)
            raise
        finally:
            _note_quietly(door.audit, "stop")


def _stop(number: int, _frame: FrameType | None) -> None:
    """Leave through every `finally`; a second signal must not interrupt the way out."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    log.info("stopping on %s", signal.Signals(number).name)
    raise SystemExit(0)


def _note_quietly(audit: Audit, kind: str, **facts: str) -> None:
    """Note a service event on the way out, where the first error matters more than this one."""
    try:
        audit.note(kind, **facts)
    except DoorError as exc:
        log.error("the audit could not note %r: %s", kind, exc)


class Reporter:
    """Logs the first frame and every change of mind, never a face."""

    def __init__(self, gallery: GalleryStore) -> None:
        self._gallery = gallery
        self._last: tuple[object, ...] | None = None

    def __call__(self, step: Step) -> None:
        """Log *step* if it differs from what was logged last."""
        decision = step.decision
        if self._last is None:
            log.info("first frame processed; the door is watching")
        current = (decision.outcome, decision.reason, decision.subject_id, decision.flaws)
        if current != self._last:
            granted = decision.outcome is Outcome.GRANT
            log.info("%s", describe(decision, self._gallery.names() if granted else {}))
        self._last = current


def describe(decision: Decision, names: dict[str, str]) -> str:
    """Return one line for the log: when, what, who, why, and the numbers."""
    parts = [f"{decision.captured_at_s:9.2f} s  {decision.outcome.name:5}"]
    if decision.outcome is Outcome.GRANT and decision.subject_id is not None:
        parts.append(f"{names.get(decision.subject_id, decision.subject_id)}:")
    parts.append(decision.reason.value)
    if decision.score is not None:
        parts.append(f"(score {decision.score:.3f}, threshold {decision.threshold:.3f})")
    if decision.flaws:
        parts.append("– " + ", ".join(flaw.value for flaw in decision.flaws))
    return " ".join(parts)
