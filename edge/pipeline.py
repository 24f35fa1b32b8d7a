"""The straight line: camera → detect → align → embed → match → decide → gate → door → relay.

The only file that knows every stage. What follows a decision is the doorkeeper's: the audit comes
before the relay, so a door that cannot write its log stays shut. The relay is locked on every way
out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.access.verdict import Verdict
from edge.align import align
from edge.camera import Camera
from edge.config import DecisionConfig, QualityConfig
from edge.decide import Policy, VisitState, step
from edge.detect import Detector
from edge.doorkeeper import Doorkeeper
from edge.embed import Embedder
from edge.evidence import FRAME_CORRELATION
from edge.gallery import GalleryStore
from edge.match import rank
from edge.quality import flaws
from edge.track import Tracks, follow
from edge.vocabulary import (
    Decision,
    Detection,
    EvidenceMap,
    Frame,
    Gallery,
    Observation,
    ObservedFace,
    OperatingPoint,
)


@dataclass(frozen=True, slots=True)
class Door:
    """Every stage of one door, opened and ready."""

    camera: Camera
    detector: Detector
    embedder: Embedder
    gallery: GalleryStore
    limits: QualityConfig
    policy: Policy
    keeper: Doorkeeper


@dataclass(frozen=True, slots=True)
class Step:
    """What one frame led to; ``verdict`` is the gate's, where it was asked."""

    frame: Frame
    observation: Observation
    decision: Decision
    verdict: Verdict | None = None


def policy_from(
    config: DecisionConfig, point: OperatingPoint, evidence: EvidenceMap, model_id: str
) -> Policy:
    """Join the configured targets and patience with the evidence that came with the model."""
    return Policy(
        evidence=evidence,
        threshold=point.threshold,
        model_id=model_id,
        correlation=FRAME_CORRELATION,
        false_accept=config.false_accept_per_visit,
        false_accept_with_pin=config.false_accept_with_pin,
        early_denial=config.early_denial,
        lead=config.lead_nats,
        least_frames=config.least_frames,
        most_frames=config.most_frames,
        most_s=config.most_s,
        visit_gap_s=config.visit_gap_s,
        repeat_s=config.repeat_s,
        alone_only=config.several_faces == "nobody",
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
            verdict = door.keeper.judge(decision, observation)
            on_step(Step(frame, observation, decision, verdict))
    finally:
        door.keeper.shut()


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
    near = [each for each in found if each.eye_distance_px >= door.limits.eye_distance_px]
    return tracks, Observation(
        frame.captured_at_s, faces, references=len(gallery.subject_ids), in_view=len(near)
    )


def examine(
    frame: Frame, detection: Detection, gallery: Gallery, door: Door, *, track: int
) -> ObservedFace:
    """Align one face and, if nothing speaks against it, rank the gallery by likeness."""
    face = align(frame.pixels, detection)
    if found := flaws(face, door.limits):
        return ObservedFace(detection, flaws=found, candidates=(), track=track)
    return ObservedFace(detection, (), rank(door.embedder.embed(face), gallery), track)
