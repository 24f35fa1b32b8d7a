"""Makes gpiozero take this machine for a Raspberry Pi 3B, in every process of a test."""

from __future__ import annotations

from gpiozero.pins.local import LocalPiFactory

LocalPiFactory._get_revision = lambda _: 0xA02082
