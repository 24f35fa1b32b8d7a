"""Everything of this room around one running door; `edge.service` knows nothing else of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from edge import __version__
from edge.config import DoorConfig, is_device
from edge.errors import HardwareError
from edge.health.guard import Guard
from edge.health.notify import Notifier, notifier_from
from edge.health.status import CameraStatus, Reporting, StatusSocket
from edge.health.timed import TimedDetector, TimedEmbedder
from edge.health.vitals import Vitals
from edge.health.watchdog import Fault, Limits, Watchdog
from edge.health.watched import Patience, Source, WatchedCamera
from edge.vocabulary import Decision, Frame

# The camera's own time-out comes first: it says more, and is recovered from.
_AFTER_TIMEOUT_S = 1.0
_log = logging.getLogger(__name__)


class Care:
    """Watches over one door.

    Args:
        config: the whole configuration.
        open_source: opens the camera.
        notifier: the service manager; as the environment says if left out.
        clock: monotonic seconds.

    Attributes:
        camera: for the door in place of what *open_source* gives.
    """

    def __init__(
        self,
        config: DoorConfig,
        open_source: Callable[[], Source],
        *,
        notifier: Notifier | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        health, self._config, self._clock = config.health, config, clock
        self._notifier = notifier or notifier_from()
        self._live = config.camera.backend == "picamera2" or (
            config.camera.backend == "opencv" and is_device(config.camera.source)
        )
        limits = Limits(
            capture_s=config.camera.timeout_s + _AFTER_TIMEOUT_S,
            process_s=health.stall_s,
            hear_s=health.stall_s,
            frozen_s=health.frozen_s,
            black_s=health.black_s,
        )
        self._watchdog, self._vitals = Watchdog(limits), Vitals(clock)
        self._note: Callable[[str], None] = lambda _: None
        self._ready = False
        self.camera = WatchedCamera(
            open_source,
            self._watchdog,
            patience=Patience(give_up_s=health.reopen_s),
            live=self._live,
            on_fault=self._camera_failed,
            on_recovery=self._camera_recovered,
            clock=clock,
        )

    def detector(self, detector: TimedDetector.Inner) -> TimedDetector:
        """Return *detector*, timed."""
        return TimedDetector(detector, self._vitals)

    def embedder(self, embedder: TimedEmbedder.Inner) -> TimedEmbedder:
        """Return *embedder*, timed."""
        return TimedEmbedder(embedder, self._vitals)

    def processed(self, frame: Frame, decision: Decision) -> None:
        """Count one frame; the first makes the service ready."""
        self._vitals.processed(decision)
        if self._live:
            self._vitals.took("frame", self._clock() - frame.captured_at_s)
        if not self._ready:
            self._ready = True
            self._notifier.ready()
            self._notifier.status("the door watches")

    def hears(self) -> None:
        """Contacts, buttons and operators are heard; called a few times a second."""
        self._watchdog.hears(self._clock())

    @contextmanager
    def around(
        self,
        *,
        last_words: Sequence[Callable[[Fault], None]],
        note: Callable[[str], None],
        state: Callable[[], str],
        parts: Mapping[str, Mapping[str, Any]],
    ) -> Iterator[None]:
        """Feed, answer and measure for the length of a `with` block.

        Args:
            last_words: what to do, the strike first, before a program that stalls is ended.
            note: writes what befell the camera into the audit; on the door's own thread.
            state: asked for one word of the door, on another thread.
            parts: names of parts with facts for the status.
        """
        reporting = Reporting(
            version=__version__,
            vitals=self._vitals,
            camera=self._camera_status,
            disk=self._config.store.audit.parent,
            parts=parts,
            state=state,
        )
        self._note = note
        with ExitStack() as stack:
            stack.callback(self._notifier.close)
            stack.callback(self._notifier.stopping)
            self._offer(stack, reporting)
            guard = Guard(self._watchdog, self._notifier, last_words=last_words, clock=self._clock)
            stack.callback(guard.close)
            guard.start()
            yield

    def _offer(self, stack: ExitStack, reporting: Reporting) -> None:
        """Open socket and metrics; a door is not kept shut for want of somebody to tell."""
        health = self._config.health
        try:
            answer = reporting.status
            stack.enter_context(closing(StatusSocket(health.socket, lambda: answer().to_json())))
            if health.metrics_port:
                from edge.health.metrics import (  # noqa: PLC0415 - http.server is slow to import
                    MetricsServer,
                    metrics_text,
                )

                server = MetricsServer(health.metrics_port, lambda: metrics_text(answer()))
                stack.enter_context(closing(server))
        except HardwareError as exc:
            _log.warning("%s; the door goes on without", exc)

    def _camera_status(self) -> CameraStatus:
        fault = self._watchdog.fault(self._clock())
        return CameraStatus(
            fault=None if fault is None else fault.name.lower(),
            troubled=self.camera.troubled,
            reopened=self.camera.reopened,
        )

    def _camera_failed(self, fault: Fault) -> None:
        self._notifier.status(f"{fault.value}; opening it again")
        self._note(fault.name.lower())

    def _camera_recovered(self) -> None:
        self._notifier.status("the door watches")
        self._note("well")
