"""The table of how long the door may stand still, and whom it tells how it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config_reading import key


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """What counts as a standstill, and who is told how the door is."""

    stall_s: float = key(
        3.0, "longest time to process one frame before the program ends", least=0.5, most=60
    )
    frozen_s: float = key(
        3.0,
        "longest run of identical pictures; 0: any, for cameras that repeat",
        least=0,
        most=3600,
    )
    black_s: float = key(
        3.0, "longest run of black pictures; 0: any, for places that are dark", least=0, most=3600
    )
    reopen_s: float = key(
        60.0, "how long a failed camera is opened again before the program ends", least=0, most=3600
    )
    socket: Path = key(Path("/run/janus/status.sock"), "where `janus status` asks")
    metrics_port: int = key(
        0, "TCP port of Prometheus metrics on 127.0.0.1; 0: none", least=0, most=65535
    )
