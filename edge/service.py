"""Open what the configuration names, run the door, and leave it locked whatever happens."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from types import FrameType

from edge.audit import Audit
from edge.bundles.bundle import Bundle
from edge.bundles.installed import open_bundle
from edge.camera import open_camera
from edge.config import DoorConfig
from edge.detect import open_detector
from edge.embed import Embedder, open_embedder
from edge.errors import DoorError
from edge.gallery import GalleryStore
from edge.instance import sole_door
from edge.pipeline import Door, Step, policy_from, watch
from edge.relay import open_relay
from edge.vocabulary import Decision, Outcome

_AUDIT_BUSY_S = 0.5

log = logging.getLogger("janus")


def open_encoder(config: DoorConfig) -> tuple[Bundle, Embedder]:
    """Verify the bundle that is in force and start its encoder.

    Raises:
        BundleError: if the bundle is not to be trusted or does not fit.
        ConfigError: if the runtime that is asked for is not installed.
    """
    bundle = open_bundle(config)
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
        # A grant that waits longer for its audit record comes too late to open for.
        audit = stack.enter_context(closing(Audit(config.store.audit, busy_s=_AUDIT_BUSY_S)))
        gallery = stack.enter_context(closing(GalleryStore(config.store.gallery, bundle.model_id)))
        detector = open_detector(config.detector, runtime=config.encoder.runtime, eyes=bundle.eyes)
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
        SystemExit: with 0 on SIGTERM and SIGHUP, 130 on SIGINT, 131 on SIGQUIT.
    """
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        """Leave through every `finally`; a second signal must not interrupt the way out.

        Nothing is written here: whoever reads standard error may have stopped reading.
        """
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        asked.append(0 if number in (signal.SIGTERM, signal.SIGHUP) else 128 + number)
        raise SystemExit(asked[0])

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        with sole_door(config.store.audit.parent), open_door(config) as door:
            _run(door)
    except (DoorError, ImportError, SystemError):
        # Foreign code that is interrupted while it loads reports a failure of its own instead.
        if asked:
            raise SystemExit(asked[0]) from None
        raise


def _run(door: Door) -> None:
    door.audit.note("start", model_id=door.embedder.model_id)
    try:
        watch(door, on_step=Reporter())
    except DoorError as exc:
        _note_quietly(door.audit, "error", error=type(exc).__name__)
        raise
    finally:
        _note_quietly(door.audit, "stop")


_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def _note_quietly(audit: Audit, kind: str, **facts: str) -> None:
    """Note a service event on the way out, where the first error matters more than this one."""
    try:
        audit.note(kind, **facts)
    except DoorError as exc:
        log.error("the audit could not note %r: %s", kind, exc)


class Reporter:
    """Logs the first frame and every change of mind, never a face.

    Args:
        names: subject id → name, for a person who looks on; left out, the log holds ids only.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = names or {}
        self._last: tuple[object, ...] | None = None

    def __call__(self, step: Step) -> None:
        """Log *step* if it differs from what was logged last."""
        decision = step.decision
        if self._last is None:
            log.info("first frame processed; the door is watching")
        current = (decision.outcome, decision.reason, decision.subject_id, decision.flaws)
        if current != self._last:
            log.info("%s", describe(decision, self._names))
        self._last = current


def describe(decision: Decision, names: Mapping[str, str]) -> str:
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
