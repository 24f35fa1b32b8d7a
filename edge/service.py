"""Open what the configuration names, run the door, and leave it locked whatever happens."""

from __future__ import annotations

import faulthandler
import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from edge.attended import attended, opened_relay
from edge.audit import Audit, utc_now
from edge.bundles.bundle import Bundle
from edge.bundles.installed import open_bundle
from edge.camera import open_camera
from edge.config import DoorConfig
from edge.detect import open_detector
from edge.doorkeeper import Doorkeeper
from edge.embed import Embedder, open_embedder
from edge.errors import DoorError
from edge.gallery import GalleryStore
from edge.health.care import Care
from edge.health.watchdog import Fault
from edge.instance import sole_door
from edge.pipeline import Door, Step, policy_from, watch
from edge.privacy import SnapshotTaker, retain_events, retain_snapshots
from edge.promise import promise
from edge.vocabulary import Decision, Outcome

_AUDIT_BUSY_S = 0.5
_LAST_NOTE_S = 0.3
WAITS_A_MINUTE = 30

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
def open_door(config: DoorConfig, care: Care) -> Iterator[Door]:
    """Open every stage, the relay first so that the strike is locked while the rest starts.

    Args:
        config: the whole configuration.
        care: gives the camera, which is opened when its first frame is asked for, and measures.

    Raises:
        DoorError: from the first stage that cannot be opened; what was open is closed.
    """
    with ExitStack() as stack:
        relay = stack.enter_context(opened_relay(config))
        # A grant that waits longer for its audit record comes too late to open for.
        audit = stack.enter_context(closing(Audit(config.store.audit, busy_s=_AUDIT_BUSY_S)))
        retain_events(config, audit, utc_now())
        retain_snapshots(config, utc_now())
        # From here on the exit button works, however long the rest takes to open.
        keeper = stack.enter_context(attended(config, relay, audit, heard=care.hears))
        bundle, embedder = open_encoder(config)
        gallery = stack.enter_context(
            closing(
                GalleryStore(config.store.gallery, bundle.model_id, key=config.store.storage_key)
            )
        )
        detector = open_detector(
            config.detector, runtime=config.encoder.runtime, eyes=bundle.eyes, frames=True
        )
        camera = stack.enter_context(closing(care.camera))
        yield Door(
            camera=camera,
            detector=care.detector(detector),
            embedder=care.embedder(embedder),
            gallery=gallery,
            limits=config.quality,
            policy=policy_from(
                config.decision, bundle.operating_point, bundle.evidence, bundle.model_id
            ),
            keeper=keeper,
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
        care = Care(config, lambda: open_camera(config.camera))
        with sole_door(config.store.audit.parent), open_door(config, care) as door:
            _run(door, SnapshotTaker(config), care, config.store.audit)
    except (DoorError, ImportError, SystemError):
        # Foreign code that is interrupted while it loads reports a failure of its own instead.
        if asked:
            raise SystemExit(asked[0]) from None
        raise


def _run(door: Door, take: SnapshotTaker, care: Care, audit_path: Path) -> None:
    previous = door.keeper.in_turn(lambda: how_it_ended(door.keeper.audit))
    door.keeper.note("start", model_id=door.embedder.model_id, previous=previous)
    if previous not in (_NONE, _STOPPED):
        log.warning("the run of the door before this one was %s", previous)
    people = len(door.gallery.load().subject_ids)
    said = promise(door.policy, people)
    log.log(logging.INFO if said.alone else logging.WARNING, "%s", said)
    report, keeper = Reporter(waits_a_minute=WAITS_A_MINUTE), door.keeper

    def on_step(step: Step) -> None:
        care.processed(step.frame, step.decision)
        report(step)
        take(door.keeper.audit.decision_seq, step.decision, step.frame.pixels)

    watched = care.around(
        last_words=(
            lambda _: keeper.relay.lock(),
            lambda _: keeper.shut(),  # whatever hangs may wake meanwhile: it releases no more
            lambda fault: _last_note(audit_path, fault),
            lambda _: faulthandler.dump_traceback(),  # what hangs, and where; no values
        ),
        note=lambda fault: _note_quietly(keeper, "camera", fault=fault),
        state=lambda: keeper.state.name.value,
        parts={"bundle": {"model": door.policy.model_id[:12]}, "gallery": {"people": people}},
    )
    try:
        with watched:
            watch(door, on_step)
    except DoorError as exc:
        _note_quietly(door.keeper, "error", error=type(exc).__name__)
        raise
    finally:
        _note_quietly(door.keeper, "stop")


_NONE, _STOPPED = "none", "stopped"
_ENDS = {"stop": _STOPPED, "watchdog": "ended by its watchdog", "start": "killed"}


def how_it_ended(audit: Audit) -> str:
    """Return how the run before this one ended, as far as the audit shows.

    Nothing is written by a process that is killed: its start is then the last that is known of it.

    Raises:
        AuditError: if the log cannot be read.
    """
    last = audit.newest_of(_ENDS)
    return _NONE if last is None else _ENDS[last.kind]


_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def _note_quietly(keeper: Doorkeeper, kind: str, **facts: str) -> None:
    """Note a service event on the way out, where the first error matters more than this one."""
    try:
        keeper.note(kind, **facts)
    except DoorError as exc:
        log.error("the audit could not note %r: %s", kind, exc)


def _last_note(path: Path, fault: Fault) -> None:
    """Note why the program ends; by a connection of its own, for the door's may be what hangs."""
    try:
        with Audit(path, create=False, busy_s=_LAST_NOTE_S) as audit:
            audit.note("watchdog", fault=fault.name.lower())
    except DoorError as exc:
        log.error("the audit could not note that the watchdog ends the door: %s", exc)


class Reporter:
    """Logs the first frame, every grant and denial, and changes of mind; never a face.

    Args:
        names: subject id → name, for a person who looks on; left out, the log holds ids only.
        waits_a_minute: how many changes of mind that decide nothing are logged at most, so that a
            face that flickers for hours fills no card; left out, all.
    """

    def __init__(
        self, names: Mapping[str, str] | None = None, *, waits_a_minute: int | None = None
    ) -> None:
        self._names, self._most_waits = names or {}, waits_a_minute
        self._last: tuple[object, ...] | None = None
        self._minute, self._waits = 0, 0

    def __call__(self, step: Step) -> None:
        """Log *step* if it differs from what was logged last."""
        decision = step.decision
        if self._last is None:
            log.info("first frame processed; the door is watching")
        current = (decision.outcome, decision.reason, decision.subject_id, decision.flaws)
        if current != self._last and self._has_room(decision):
            log.info("%s", describe(decision, self._names))
        self._last = current

    def _has_room(self, decision: Decision) -> bool:
        """Tell whether one more line may be logged in this minute."""
        if self._most_waits is None:
            return True
        minute = int(decision.captured_at_s // 60)
        if minute != self._minute:
            if self._waits > self._most_waits:
                log.info("%d changes of mind were not logged", self._waits - self._most_waits)
            self._minute, self._waits = minute, 0
        if decision.outcome is not Outcome.WAIT:
            return True
        self._waits += 1
        return self._waits <= self._most_waits


def describe(decision: Decision, names: Mapping[str, str]) -> str:
    """Return one line for the log: when, what, who, why, and the numbers."""
    parts = [f"{decision.captured_at_s:9.2f} s  {decision.outcome.name:5}"]
    if decision.outcome is Outcome.GRANT and decision.subject_id is not None:
        parts.append(f"{names.get(decision.subject_id, decision.subject_id)}:")
    parts.append(decision.reason.value)
    if decision.score is not None:
        parts.append(f"(score {decision.score:.3f}, threshold {decision.threshold:.3f})")
    if decision.evidence is not None and decision.evidence_needed is not None:
        parts.append(f"(evidence {decision.evidence:.1f} of {decision.evidence_needed:.1f} nats)")
    if decision.flaws:
        parts.append("– " + ", ".join(flaw.value for flaw in decision.flaws))
    return " ".join(parts)
