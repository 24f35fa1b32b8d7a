"""The straight line: camera → detect → align → embed → match → decide → relay.

The only file that knows every stage. The audit comes before the relay: a door that cannot write
its log stays shut. The relay is locked on every way out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.align import align
from edge.audit import Audit
from edge.camera import Camera
from edge.config import DecisionConfig, QualityConfig
from edge.decide import Policy, VisitState, step
from edge.detect import Detector
from edge.embed import Embedder
from edge.gallery import GalleryStore
from edge.match import rank
from edge.quality import flaws
from edge.relay import Relay
from edge.track import Tracks, follow
from edge.vocabulary import (
    Decision,
    Detection,
    Frame,
    Gallery,
    Observation,
    ObservedFace,
    OperatingPoint,
    Outcome,
)


@dataclass(frozen=True, slots=True)
class Door:
    """Every stage of one door, opened and ready."""

    camera: Camera
    detector: Detector
    embedder: Embedder
    gallery: GalleryStore
    audit: Audit
    relay: Relay
    limits: QualityConfig
    policy: Policy
    release_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame led to."""

    frame: Frame
    observation: Observation
    decision: Decision


def policy_from(config: DecisionConfig, point: OperatingPoint, model_id: str) -> Policy:
    """Join the configured patience with the threshold that came with the model."""
    return Policy(
        threshold=point.threshold,
        margin=config.margin,
        agree_frames=config.agree_frames,
        window_s=config.window_s,
        deny_frames=config.deny_frames,
        visit_gap_s=config.visit_gap_s,
        repeat_s=config.repeat_s,
        model_id=model_id,
    )


def watch(
    door: Door,
    on_step: Callable[[Step], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run the door until its camera ends or *should_stop* says so; the relay ends locked.

    Args:
        door: the stages.
        on_step: told about each frame after the door has acted on it.
        should_stop: asked before each frame.

    Raises:
        DoorError: from whichever stage failed, after the relay was locked.
    """
    try:
        state, tracks, gallery = VisitState(), Tracks(), door.gallery.load()
        for frame in door.camera.frames():
            if should_stop():
                break
            if door.gallery.changed():
                gallery = door.gallery.load()
            tracks, observation = observe(frame, tracks, gallery, door)
            state, decision = step(state, observation, door.policy)
            if decision.outcome is not Outcome.WAIT:
                door.audit.record(decision)
            if decision.outcome is Outcome.GRANT:
                door.relay.release(door.release_s)
            on_step(Step(frame, observation, decision))
    finally:
        door.relay.lock()


def observe(
    frame: Frame, tracks: Tracks, gallery: Gallery, door: Door
) -> tuple[Tracks, Observation]:
    """Return what *frame* shows: the largest face, which alone is judged, if there is one.

    Others would cost an embedding each, and a sheet of printed faces would slow the door; they are
    followed, so that nobody is taken for the one beside him.
    """
    found = door.detector.detect(frame.pixels)
    tracks, identities = follow(tracks, found, frame.captured_at_s)
    faces = tuple(
        examine(frame, detection, gallery, door, track=track)
        for detection, track in zip(found[:1], identities[:1], strict=True)
    )
    return tracks, Observation(frame.captured_at_s, faces)


def examine(
    frame: Frame, detection: Detection, gallery: Gallery, door: Door, *, track: int
) -> ObservedFace:
    """Align one face and, if nothing speaks against it, rank the gallery by likeness."""
    face = align(frame.pixels, detection)
    if found := flaws(face, door.limits):
        return ObservedFace(detection, flaws=found, candidates=(), track=track)
    return ObservedFace(detection, (), rank(door.embedder.embed(face), gallery), track)
