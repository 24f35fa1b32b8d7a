"""The status in Prometheus' text format, and the loopback server that offers it.

Source: Prometheus documentation, "Exposition formats", text format 0.0.4.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator, Mapping

from edge.errors import HardwareError
from edge.health.status import Status

LOOPBACK = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLIENT_S = 2.0


def metrics_text(status: Status) -> str:
    """Return *status* as metrics; what is not known is left out."""
    return "".join(_families(status))


def _families(status: Status) -> Iterator[str]:
    counts, camera, heat = status.counts, status.camera, status.heat
    yield _family(
        "janus_info", "gauge", "Version and state.", {_labels(version=status.version): 1.0}
    )
    yield _family("janus_uptime_seconds", "gauge", "Since the door began.", {"": counts.uptime_s})
    yield _family("janus_frames_total", "counter", "Processed frames.", {"": counts.frames})
    yield _family("janus_frame_rate_hertz", "gauge", "Frames a second.", {"": counts.rate_hz})
    yield _family(
        "janus_stage_seconds",
        "gauge",
        "Time that a stage took lately.",
        {
            _labels(stage=name, quantile=quantile): each_ms / 1000
            for name, took in sorted(counts.stages.items())
            for quantile, each_ms in (("0.5", took.p50_ms), ("0.95", took.p95_ms))
        },
    )
    yield _family(
        "janus_decisions_total",
        "counter",
        "Decisions by outcome.",
        {_labels(outcome=name): count for name, count in sorted(counts.decisions.items())},
    )
    fault = {_labels(fault=camera.fault): 1} if camera.fault else {}
    yield _family("janus_camera_fault", "gauge", "1: present.", fault)
    yield _family(
        "janus_camera_troubled", "gauge", "1: not yet well again.", {"": int(camera.troubled)}
    )
    yield _family(
        "janus_camera_reopened_total", "counter", "Openings again.", {"": camera.reopened}
    )
    yield _known("janus_temperature_celsius", "Of the processor.", heat.temperature_c)
    yield _family(
        "janus_throttled",
        "gauge",
        "1: the firmware reports it.",
        {_labels(reason=flag): 1 for flag in heat.flags or ()},
    )
    yield _known("janus_disk_free_bytes", "Where the audit is.", _times(status.free_mb, 1e6))
    yield _known("janus_resident_memory_bytes", "Of the door.", _times(status.memory_mb, 1e6))


def _known(name: str, text: str, value: float | None) -> str:
    return _family(name, "gauge", text, {} if value is None else {"": value})


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _family(name: str, kind: str, text: str, values: Mapping[str, float]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{labels} {value!r}" for labels, value in values.items()]
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + inside + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class MetricsServer:
    """Answers GET /metrics on the loopback address, one client at a time.

    Args:
        port: TCP port; 0 takes a free one, see ``port``.
        answer: asked for the text.

    Raises:
        HardwareError: if the port cannot be had.
    """

    def __init__(self, port: int, answer: Callable[[], str]) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        try:
            self._server = http.server.HTTPServer((LOOPBACK, port), handler)
        except OSError as exc:
            raise HardwareError(
                f"[health] metrics_port = {port} cannot be had: {exc.strerror or exc}; choose "
                "another, or 0 for none"
            ) from exc
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_CLIENT_S)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    answer: Callable[[], str]
    timeout = _CLIENT_S  # a client that says nothing does not keep others out

    def do_GET(self) -> None:
        """Answer /metrics."""
        if self.path != "/metrics":
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return
        body = self.answer().encode()
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep the log for the door."""
