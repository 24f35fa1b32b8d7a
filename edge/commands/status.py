"""`janus status`: how the running door is."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.health.status import ask


def _add_arguments(parser: ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(arguments: Namespace) -> int:
    """Print the status; exit code 1 while the camera is in trouble, 5 if no door answers."""
    status = ask(config_from(arguments).health.socket)
    print(json.dumps(status, sort_keys=True) if arguments.json else "\n".join(_lines(status)))
    return 1 if status.get("camera", {}).get("troubled") else 0


def _lines(status: Mapping[str, Any]) -> Iterator[str]:
    counts, camera, heat = status["counts"], status["camera"], status["heat"]
    yield f"state      {status['state']}, version {status['version']}"
    yield f"up         {_span(counts['uptime_s'])}"
    yield f"frames     {counts['frames']:,} processed, {counts['rate_hz']:.1f} a second"
    for name, took in sorted(counts["stages"].items()):
        yield f"  {name:8} {took['p50_ms']:.1f} ms, 95 % within {took['p95_ms']:.1f} ms"
    yield f"decisions  {_decisions(counts['decisions'])}"
    if (last := counts["last_decision"]) is not None:
        score = "" if last["score"] is None else f" (score {last['score']:.3f})"
        yield f"  last     {_span(last['age_s'])} ago: {last['outcome']}, {last['reason']}{score}"
    yield f"camera     {_camera(camera)}"
    yield f"heat       {_heat(heat)}"
    yield f"disk       {_or_unknown(status['free_mb'], 'MB free')}"
    yield f"memory     {_or_unknown(status['memory_mb'], 'MB')}"
    for part, facts in sorted(status["parts"].items()):
        yield f"{part:10} " + ", ".join(f"{name} {value}" for name, value in facts.items())


def _decisions(decisions: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(decisions.items())) or "none yet"


def _camera(camera: Mapping[str, Any]) -> str:
    state = camera["fault"] or ("not yet well again" if camera["troubled"] else "well")
    return f"{state}, opened again {camera['reopened']} times"


def _heat(heat: Mapping[str, Any]) -> str:
    flags = heat["flags"]
    throttled = "no Raspberry Pi" if flags is None else ", ".join(flags) or "not throttled"
    return f"{_or_unknown(heat['temperature_c'], '°C')}, {throttled}"


def _or_unknown(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:,} {unit}"


def _span(seconds: float) -> str:
    """Return a time in days, hours, minutes and seconds, the two largest of them."""
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2])


COMMANDS = (
    Command(
        name="status",
        summary="Say how the running door is: frames, times, camera, heat, disk, last decision.",
        example="janus status",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
