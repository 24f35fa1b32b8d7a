"""Faces of nobody: two aligned crops become one, and the teacher says who that is.

329 people and 21,000 strangers are few to learn all faces from, but a teacher answers for any
picture. Mixed crops, eyes upon eyes, show the student points of the teacher's space that no picture
of the set reaches (after mixup, Zhang et al. 2018, and the patient teachers of Beyer et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.vocabulary import FloatArray, PixelArray
from train.door.jitter import WIDE_SIZE_PX
from train.measuring.metrics import IntArray

_SEAM_PX = 60, 90  # rows of the wide crop between the eyes (68) and the nose (88)
_SOFT_PX = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Mixtures:
    """Rows (M,) of the crops that are mixed, and how; drawn from a seed, so nothing is stored.

    ``shares`` (M,) is the weight of the *first*, 0.3 to 0.7, where both are blended; where it is
    negative, the first gives the part above row ``-share`` of the wide crop, the other the rest.
    """

    first: IntArray
    second: IntArray
    shares: FloatArray

    @classmethod
    def drawn(cls, rows: IntArray, count: int, seed: int) -> Mixtures:
        """Draw *count* pairs among *rows*: half of them blended, half divided."""
        rng = np.random.default_rng((seed, count))
        blended = rng.uniform(0.3, 0.7, count)
        shares = np.where(rng.random(count) < 0.5, blended, -rng.uniform(*_SEAM_PX, count))  # noqa: PLR2004
        pairs = rng.choice(rows, (2, count))
        return cls(pairs[0], pairs[1], shares.astype(np.float32))

    def wide(self, crops: PixelArray, at: int) -> PixelArray:
        """Return mixture number *at* (144, 144, 3) uint8 RGB."""
        one, other = crops[self.first[at]], crops[self.second[at]]
        share = float(self.shares[at])
        if share >= 0:
            blended: PixelArray = cv2.addWeighted(one, share, other, 1 - share, 0)
            return blended
        rows = np.arange(WIDE_SIZE_PX, dtype=np.float32)
        above = 1 / (1 + np.exp((rows + share) / _SOFT_PX * 4))
        weights = above[:, None, None]
        divided: PixelArray = np.rint(one * weights + other * (1 - weights)).astype(np.uint8)
        return divided
