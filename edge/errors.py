"""Everything that Janus raises on purpose; a branch's exit code is the program's.

::

    DoorError                 1   on its own: never raised, only caught
    ├── ConfigError           2   unknown key, impossible value, unknown back-end, missing extra
    ├── BundleError           3   missing file, hash mismatch, wrong tensors, wrong alignment
    ├── GalleryError          4   other model, unknown subject, corrupt or locked store
    │   ├── AccessError       4   PINs and failures that cannot be written keep it shut too
    │   └── AuditError        4   a log that cannot be written keeps the door shut
    ├── HardwareError         5   camera, relay: the service restarts, the door stays locked
    │   ├── CameraError
    │   ├── DoorIsRunningError
    │   ├── KeypadError
    │   └── RelayError
    └── EnrolmentError        6   no face, several faces, low quality: says what to change
        └── PictureError      6   a picture that cannot be read

Foreign exceptions stop at the stage that called the foreign code, with ``raise … from``.
"""

from __future__ import annotations

from typing import ClassVar


class DoorError(Exception):
    """Base of every error that Janus raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(DoorError):
    """The configuration or the command line asks for something that cannot be."""

    exit_code = 2


class BundleError(DoorError):
    """The model bundle cannot be trusted or does not fit this edge."""

    exit_code = 3


class GalleryError(DoorError):
    """The gallery cannot be read, written, or compared with the loaded model."""

    exit_code = 4


class GalleryModelMismatchError(GalleryError):
    """The gallery was enrolled with another model."""

    def __init__(self, *, gallery_model: str, loaded_model: str) -> None:
        super().__init__(
            f"the gallery was enrolled with model {gallery_model[:12]}, but {loaded_model[:12]} is "
            "loaded; their embeddings are not comparable. Install the bundle by `janus bundle "
            "install`, which prepares the gallery, or go back to the earlier one."
        )
        self.gallery_model, self.loaded_model = gallery_model, loaded_model


class AccessError(GalleryError):
    """PINs, failures and entries cannot be written or read; the door stays shut."""


class AuditError(GalleryError):
    """The audit cannot be written or read; the door stays shut."""


class HardwareError(DoorError):
    """A device is missing or stopped; the service restarts and the door stays locked."""

    exit_code = 5


class CameraError(HardwareError):
    """The camera cannot be opened, or stopped giving frames."""


class DoorIsRunningError(HardwareError):
    """Another program is the door already: camera and relay are in its hands."""


class ShutError(HardwareError):
    """The door was shut meanwhile: it ends, or failed elsewhere."""


class KeypadError(HardwareError):
    """The keypad cannot be opened or read."""


class RelayError(HardwareError):
    """The relay cannot be driven."""


class EnrolmentError(DoorError):
    """A photo is no fit reference; the message says what to change."""

    exit_code = 6


class PictureError(EnrolmentError):
    """A picture cannot be read: missing, truncated, empty, of an unknown type, or too large."""
