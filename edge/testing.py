"""Stand-ins for the hardware and the models, for tests and rehearsals; never a default.

They obey the stages' protocols and refuse what the real parts refuse: what holds with them holds
with a camera and a strike. Nothing here is reachable from a configuration.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edge.errors import CameraError, RelayError
from edge.relay import Pulse, check_duration
from edge.vocabulary import AlignedFace, Detection, Embedding, FloatArray, Frame, PixelArray


class ReplayCamera:
    """A camera that gives prepared frames, and then ends, fails or hangs.

    Args:
        frames: frames as they are, or pictures (H, W, 3) uint8 RGB, which get times from
            *frame_rate_hz* and are copied.
        frame_rate_hz: of pictures, in frames a second.
        fails_after: raise CameraError once so many frames were given.
        hangs_after: give nothing more once so many frames were given, until `close`.
    """

    def __init__(
        self,
        frames: Sequence[Frame | PixelArray],
        *,
        frame_rate_hz: float = 15.0,
        fails_after: int | None = None,
        hangs_after: int | None = None,
    ) -> None:
        self._frames = tuple(
            each if isinstance(each, Frame) else Frame(each.copy(), index / frame_rate_hz, index)
            for index, each in enumerate(frames)
        )
        self._fails_after, self._hangs_after = fails_after, hangs_after
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames from the first on.

        Raises:
            CameraError: after ``fails_after`` frames.
        """
        for given in range(len(self._frames) + 1):
            if given == self._fails_after:
                raise CameraError(f"the replayed camera fails after {given} frames, as asked")
            if given == self._hangs_after:
                self._closed.wait()
            if self.closed or given == len(self._frames):
                return
            yield self._frames[given]

    def close(self) -> None:
        """End `frames`, also one that hangs."""
        self._closed.set()


class RecordingRelay:
    """A relay that drives nothing and remembers everything.

    Args:
        clock: gives the time in seconds; the strike's pulses end by it.
        fails: raise RelayError instead of releasing.
        timer: False breaks the relay's own timer: only `lock` ends a pulse.

    Attributes:
        events: (time_s, "release", "lock" or "close"), in order.
        releases: the durations that were asked for and accepted, in seconds, in order.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        fails: bool = False,
        timer: bool = True,
    ) -> None:
        self._clock, self._fails, self._timer = clock, fails, timer
        self._pulse: Pulse | None = None
        self.events: list[tuple[float, str]] = []
        self.releases: list[float] = []
        self.closed = False

    @property
    def released(self) -> bool:
        """True while a pulse lasts."""
        if self._pulse is None:
            return False
        return not self._timer or self._clock() < self._pulse.ends_at_s

    def release(self, duration_s: float) -> None:
        """Begin a pulse of *duration_s* seconds, or prolong the one that lasts.

        Raises:
            RelayError: as the real relay does: closed, outside (0, 10] s, or told to fail.
        """
        check_duration(duration_s)
        if self.closed:
            raise RelayError("the relay is closed; open it again to release the strike")
        if self._fails:
            self._pulse = None
            raise RelayError("the recording relay fails, as asked")
        now_s = self._clock()
        pulse = self._pulse if self._pulse and self.released else Pulse(now_s, now_s)
        self._pulse = pulse.extended(now_s, duration_s)
        self.releases.append(duration_s)
        self.events.append((now_s, "release"))

    def lock(self) -> None:
        """Lock; remembered also where the strike was locked already."""
        if not self.closed:
            self._pulse = None
            self.events.append((self._clock(), "lock"))

    def close(self) -> None:
        """Lock and close; remembered once."""
        if not self.closed:
            self._pulse, self.closed = None, True
            self.events.append((self._clock(), "close"))


class StubDetector:
    """A detector that finds the given faces in every picture, whatever it shows.

    Args:
        faces: detections, largest first; landmarks in pixels of the picture.
        fails_with: an error to raise instead.
    """

    def __init__(self, faces: Sequence[Detection], *, fails_with: Exception | None = None) -> None:
        self._faces, self._fails_with = tuple(faces), fails_with

    def detect(self, pixels: PixelArray) -> tuple[Detection, ...]:  # noqa: ARG002 - the protocol's
        """Return the given faces."""
        if self._fails_with is not None:
            raise self._fails_with
        return self._faces


class StubEmbedder:
    """An embedder that gives prepared vectors in turn, and the last one ever after.

    Args:
        vectors: (D,) each, of any length but zero; made unit length here.
        model_id: of the embeddings.
        fails_with: an error to raise instead.
    """

    def __init__(
        self,
        vectors: Sequence[FloatArray],
        *,
        model_id: str = "0" * 64,
        fails_with: Exception | None = None,
    ) -> None:
        units = [(each / np.linalg.norm(each)).astype(np.float32) for each in vectors]
        self._embeddings = tuple(Embedding(unit, model_id) for unit in units)
        self._given, self._fails_with = 0, fails_with
        self.model_id = model_id

    def embed(self, face: AlignedFace) -> Embedding:  # noqa: ARG002 - the protocol's
        """Return the next embedding."""
        if self._fails_with is not None:
            raise self._fails_with
        self._given += 1
        return self._embeddings[min(self._given, len(self._embeddings)) - 1]
