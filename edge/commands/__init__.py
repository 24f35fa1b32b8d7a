"""The commands of the door: `COMMANDS` lists them.

They are imported when they are asked for, and not for the running door: with all that they import
in turn they would make it larger by a tenth.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as any module's
    if name != "COMMANDS":
        raise AttributeError(name)
    from edge.commands.listed import COMMANDS  # noqa: PLC0415 - see above

    return COMMANDS
