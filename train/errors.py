"""What training and measuring raise on purpose: one more branch of the tree in `edge.errors`.

::

    DoorError
    └── TrainingError                7
        ├── DataSetError             7   pictures missing, or laid out in a way no reader knows
        ├── DivergedError            7   the loss is no longer a number
        ├── WorkerLostError          7   another process of a distributed fit is gone
        └── TooFewComparisonsError   7   a rate that the count of comparisons cannot support
"""

from __future__ import annotations

from edge.errors import DoorError


class TrainingError(DoorError):
    """Training or measuring cannot go on."""

    exit_code = 7


class DataSetError(TrainingError):
    """The pictures are missing or not laid out as the reader expects."""


class DivergedError(TrainingError):
    """The loss became NaN or infinite."""


class WorkerLostError(TrainingError):
    """Another process of a fit on several machines stopped or cannot be reached."""


class TooFewComparisonsError(TrainingError):
    """There are too few comparisons to state the rate that was asked for."""
