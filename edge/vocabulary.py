"""The values that stages exchange: frozen, validated once, each saying its frame of reference.

Pixels: x to the right, y down, (0, 0) at the centre of the top-left pixel; boxes are half-open;
arrays index ``[y, x]``, points are ``(x, y)``, sizes ``(width, height)``. Sides (right eye, left
mouth corner) are the subject's own. Colour is RGB. Times are monotonic seconds (``_s``); calendar
time appears only in the gallery and the audit. Scores are cosine similarities in [-1, 1]: higher
is more alike, and ``score >= threshold`` is a match.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Int8Array = npt.NDArray[np.int8]
PixelArray = npt.NDArray[np.uint8]

CROP_SIZE_PX = 112
_UNIT_TOLERANCE = 1e-3


def _frozen(array: npt.NDArray[np.generic]) -> None:
    """Make *array* read-only, so that a value stays what it was when it was checked."""
    array.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a camera: (H, W, 3) uint8 RGB, an owned copy."""

    pixels: PixelArray
    captured_at_s: float
    index: int

    def __post_init__(self) -> None:
        """Refuse anything but three 8-bit channels."""
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:  # noqa: PLR2004
            raise ValueError(
                f"a frame is (H, W, 3) uint8; got {self.pixels.shape} {self.pixels.dtype}"
            )
        _frozen(self.pixels)


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open rectangle in frame pixels; it may leave the frame."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One face in a frame.

    ``landmarks`` is (5, 2) float32 frame pixels: right eye, left eye, nose tip, right and left
    mouth corner. ``score`` is the detector's own, higher is surer; it compares within one
    detector only.
    """

    box: Box
    landmarks: FloatArray
    score: float

    def __post_init__(self) -> None:
        """Refuse landmarks of another shape or with values that are not finite."""
        if self.landmarks.shape != (5, 2) or not np.isfinite(self.landmarks).all():
            raise ValueError(f"landmarks are (5, 2) and finite; got {self.landmarks!r}")
        _frozen(self.landmarks)

    @property
    def eye_distance_px(self) -> float:
        """Distance between the eyes in frame pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face brought to the template: (112, 112, 3) uint8 RGB.

    ``to_crop`` is (2, 3) float32: frame point (x, y, 1) → crop point.
    """

    pixels: PixelArray
    to_crop: FloatArray
    detection: Detection

    def __post_init__(self) -> None:
        """Refuse a crop of another geometry."""
        if self.pixels.shape != (CROP_SIZE_PX, CROP_SIZE_PX, 3) or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"an aligned face is (112, 112, 3) uint8; got {self.pixels.shape} "
                f"{self.pixels.dtype}"
            )
        _frozen(self.pixels)
        _frozen(self.to_crop)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Features of one face: (D,) float32, unit length; comparable within one ``model_id`` only."""

    vector: FloatArray
    model_id: str

    def __post_init__(self) -> None:
        """Refuse a vector that is not of unit length (NaN included)."""
        norm = float(np.linalg.norm(self.vector))
        if not abs(norm - 1.0) <= _UNIT_TOLERANCE:
            raise ValueError(f"an embedding has unit length; got {norm:.4f}")
        _frozen(self.vector)


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Every reference of the door; row i of ``matrix`` (N, D) belongs to ``subject_ids[i]``."""

    model_id: str
    subject_ids: tuple[str, ...]
    matrix: FloatArray

    def __post_init__(self) -> None:
        """Refuse a matrix whose rows do not match the subjects."""
        if self.matrix.ndim != 2 or len(self.subject_ids) != self.matrix.shape[0]:  # noqa: PLR2004
            raise ValueError(
                f"{len(self.subject_ids)} subjects cannot own a matrix of {self.matrix.shape}"
            )
        _frozen(self.matrix)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject and the best cosine score of the probe with that subject's references."""

    subject_id: str
    score: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold with its evidence.

    ``fmr`` and ``fnmr`` are rates of 1:1 comparisons measured at ``threshold`` on ``data_id``,
    from ``comparisons`` non-mated and ``mated`` mated comparisons.
    """

    threshold: float
    fmr: float
    fnmr: float
    comparisons: int
    mated: int
    data_id: str


@dataclass(frozen=True, slots=True)
class EvidenceMap:
    """What a score is worth: (K,) cosines, and (K,) natural logarithms of likelihood ratios.

    The ratio says how many times likelier a score is between two pictures of one person than
    between pictures of two. Scores rise, and ratios never fall.
    Between the points it is a straight line, beyond them it stays: calibration saw nothing there.
    """

    scores: tuple[float, ...]
    log_likelihood_ratios: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse a map that is no function, falls, or holds what is not finite."""
        scores, ratios = self.scores, self.log_likelihood_ratios
        if len(scores) < 2 or len(scores) != len(ratios):  # noqa: PLR2004
            raise ValueError(f"a map has two points or more; got {len(scores)} and {len(ratios)}")
        if not np.isfinite([*scores, *ratios]).all():
            raise ValueError(f"a map is finite; got {scores} and {ratios}")
        if not (np.diff(scores) > 0).all() or not (np.diff(ratios) >= 0).all():
            raise ValueError(f"scores rise and ratios never fall; got {scores} and {ratios}")

    def at(self, score: float) -> float:
        """Return the log-likelihood ratio of *score*."""
        return float(np.interp(score, self.scores, self.log_likelihood_ratios))


@unique
class Flaw(Enum):
    """Why a face cannot be judged; the value is a sentence for the person at the door."""

    TOO_SMALL = "step closer"
    TOO_DARK = "more light, please"
    TOO_BRIGHT = "less light, please"
    TOO_BLURRED = "hold still for a moment"
    TURNED = "look at the camera"
    TILTED = "hold your head straight"
    COVERED = "uncover your face"


@dataclass(frozen=True, slots=True)
class ObservedFace:
    """What was learnt about one face: its flaws, and its candidates if it has none.

    ``track`` is equal in frames that show the same face, as far as its movement tells.
    """

    detection: Detection
    flaws: tuple[Flaw, ...]
    candidates: tuple[Candidate, ...]
    track: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """What one frame showed; ``faces`` largest first, empty if nobody was seen.

    ``references`` says among how many the candidates were searched: without it, they are no
    evidence. ``in_view`` counts the faces that are large enough to be judged, judged or not.
    """

    captured_at_s: float
    faces: tuple[ObservedFace, ...]
    references: int | None = None
    in_view: int = 0


@unique
class Outcome(Enum):
    """What the door does about an observation."""

    GRANT = "grant"
    DENY = "deny"
    WAIT = "wait"


@unique
class Reason(Enum):
    """Why; the value is a sentence for the log."""

    MATCH = "the evidence for one subject is enough"
    WEAK_MATCH = "the evidence names one subject, but opens with a second factor only"
    AGREEING = "one subject leads, waiting for more evidence"
    NO_FACE = "nobody is seen"
    NO_MATCH = "the evidence is not enough for any subject"
    AMBIGUOUS = "two subjects are too much alike to tell who it is"
    SEVERAL_FACES = "more than one person is in view; one at a time"
    POOR_QUALITY = "the face cannot be judged yet"
    EMPTY_GALLERY = "nobody is enrolled"
    ALREADY_GRANTED = "this visit was granted already"
    LEFT = "left before the evidence was enough"
    STALE_FRAME = "the frame is not newer than the one before"


@dataclass(frozen=True, slots=True)
class Decision:
    """One judgement with the numbers behind it.

    ``score`` is the leading subject's best cosine, or None where nothing was compared;
    ``threshold`` is the model's cosine of one comparison, for people to hold it against; ``frames``
    counts the frames that the judgement rests on. ``needs_second_factor`` says that the evidence
    names the subject, but is too weak to open by itself.

    The other numbers, from which `edge.evidence.weigh` comes to the same end again, are in nats and
    frame by frame: ``scores`` and ``ratios`` are the leading subject's cosines and log-likelihood
    ratios (the map's lowest where a frame did not name the subject), ``rival_ratios`` those of the
    second. ``false_accept`` is the rate for a visit that ``evidence_needed`` stands for in a
    gallery of ``references``, ``false_accept_with_pin`` that for a grant with a second factor;
    ``test`` counts how often the visit's test began anew.
    """

    outcome: Outcome
    reason: Reason
    captured_at_s: float
    subject_id: str | None
    score: float | None
    threshold: float
    frames: int
    model_id: str
    flaws: tuple[Flaw, ...] = ()
    needs_second_factor: bool = False
    evidence: float | None = None
    evidence_needed: float | None = None
    lead: float | None = None
    lead_needed: float = 0.0
    false_accept: float = 1.0
    false_accept_with_pin: float = 1.0
    references: int | None = None
    test: int = 1
    correlation: float = 1.0
    scores: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    rival_ratios: tuple[float, ...] = ()
