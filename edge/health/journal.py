"""Log records as journald takes them: with their level, so that `journalctl -p err` can choose.

Source: sd-daemon(3), "<N>" prefixes, and systemd.exec(5), $JOURNAL_STREAM.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

# syslog(3) levels by the least level of Python's that they stand for.
_LEVELS = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)


class JournalFormatter(logging.Formatter):
    """Writes `<3>janus: what happened`, and the same level before every further line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of *record*, each with its level; the journal adds time and program."""
        number = next(number for least, number in _LEVELS if record.levelno >= least)
        text = super().format(record)
        return "\n".join(f"<{number}>{line}" for line in text.splitlines() or [""])


def writes_to_journal(descriptor: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether what is written to *descriptor* goes to the journal directly."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        place = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(place.st_dev), str(place.st_ino))
