"""The parts of a door that stand beside the line: relay, sentinel, inputs, signals, gate, operator.

Opened in an order in which the strike is locked first and everything that may ask for a release
comes last; closed the other way round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from edge.access.calendar import Schedule, parse_span
from edge.access.keypad import open_keypad
from edge.access.opening import open_gate, policy_of
from edge.attendant import Attendant
from edge.audit import Audit, utc_now
from edge.config import DoorConfig
from edge.control import (
    LOCKDOWN,
    RELEASE,
    RESUME,
    ControlSocket,
    is_locked_down,
    set_lockdown,
)
from edge.door import DoorState
from edge.door_events import Event, Happening, State
from edge.doorkeeper import Doorkeeper, timing_of
from edge.errors import AuditError, HardwareError
from edge.gallery import GalleryStore
from edge.gpio import open_driver
from edge.inputs import Inputs
from edge.privacy import retain_events, retain_snapshots
from edge.relay import GpioRelay, open_relay
from edge.sentinel import Sentinel
from edge.signals import open_signals

_TICK_S = 0.25
_IDLE_S = 60.0
_BUSY_S = 0.5
_UPKEEP_S = 86400.0

log = logging.getLogger("janus")


@contextmanager
def opened_relay(config: DoorConfig) -> Iterator[GpioRelay]:
    """Open the relay, locked, with a sentinel beside it; at the end lock it, then tell that one.

    Raises:
        RelayError: if the pin cannot be driven, or the sentinel does not start.
    """
    with closing(Sentinel(config.relay)) as sentinel:
        driver = open_driver(config.relay)
        with closing(open_relay(config.relay, driver, guard=sentinel)) as relay:
            sentinel.wait_until_ready()
            yield relay


@contextmanager
def attended(
    config: DoorConfig,
    relay: GpioRelay,
    audit: Audit,
    *,
    heard: Callable[[], None] = lambda: None,
) -> Iterator[Doorkeeper]:
    """Begin to keep the door: from now on contacts, buttons and operators are heard.

    Args:
        config: the whole configuration.
        relay: opened and locked.
        audit: for every record of the door.
        heard: told a few times a second that contacts, buttons and operators are heard.

    Raises:
        DoorError: from the first part that cannot be opened; what was open is closed.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(closing(open_signals(relay.driver, config.signals)))
        gate = stack.enter_context(
            closing(open_gate(config, partial(names_of, config), busy_s=_BUSY_S))
        )
        door, claims = Attendant("door"), Attendant("second factor")
        inputs = stack.enter_context(
            closing(
                Inputs(
                    relay.driver,
                    config.inputs,
                    tell=lambda event: door.put(partial(keeper.tell, event)),
                    pressed=lambda: claims.put(keeper.press_button),
                )
            )
        )
        keeper = Doorkeeper(
            relay,
            audit,
            timing_of(config),
            gate=gate,
            display=signals,
            unlocked=unlocked_hours(config),
            start=state_at_start(config.store.audit.parent, inputs),
        )
        stack.callback(keeper.save)
        stack.callback(keeper.shut)

        def attend() -> float:
            heard()
            for event in inputs.reread():
                keeper.tell(event)
            keeper.tick()
            next_s = keeper.next_s()
            return _TICK_S if next_s is None else min(_TICK_S, next_s - time.monotonic())

        stack.enter_context(closing(door.start(attend, on_failure=keeper.shut)))
        upkeep = Upkeep(config, keeper)
        stack.enter_context(closing(claims.start(upkeep, on_failure=keeper.shut)))
        keypad = open_keypad(
            config.access,
            relay.driver,
            tell=lambda digits: claims.put(partial(keeper.enter_pin, digits)),
        )
        if keypad is not None:
            stack.enter_context(closing(keypad))
        directory = config.store.audit.parent
        obey = partial(obeyed, keeper=keeper, directory=directory)
        stack.enter_context(closing(ControlSocket(directory, obey)))
        yield keeper


class Upkeep:
    """Lets go of old events and snapshots once a day; `open_door` did when the door started.

    Called by whoever has time; returns for how many seconds there is nothing to do.
    """

    def __init__(self, config: DoorConfig, keeper: Doorkeeper) -> None:
        self._config, self._keeper = config, keeper
        self._next_s = time.monotonic() + _UPKEEP_S

    def __call__(self) -> float:
        """Do what is due; an error is only logged, for the door's own records come first."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _UPKEEP_S
            audit, now = self._keeper.audit, utc_now()
            try:
                self._keeper.in_turn(lambda: retain_events(self._config, audit, now))
            except AuditError as exc:
                log.warning("old events are kept for another day: %s", exc)
            retain_snapshots(self._config, now)
        return min(_IDLE_S, max(0.0, self._next_s - time.monotonic()))


def names_of(config: DoorConfig) -> dict[str, str]:
    """Return subject id → enrolled name; by a connection of its own, whatever thread asks.

    Raises:
        GalleryError: if the gallery cannot be read.
    """
    with GalleryStore(config.store.gallery, None, key=config.store.storage_key) as people:
        return people.names()


def state_at_start(directory: Path, inputs: Inputs) -> DoorState:
    """Return what is known at the start: a door that stands open by then was not forced."""
    now_s = time.monotonic()
    said = {event.what for event in inputs.at_start()}
    return DoorState(
        now_s=now_s,
        opening=State.OPEN if Happening.OPENED in said else None,
        opened_at_s=now_s,
        lockdown=is_locked_down(directory),
    )


def unlocked_hours(config: DoorConfig) -> Callable[[datetime], bool]:
    """Return what tells whether anybody may enter at a time of day; on holidays nobody may.

    Raises:
        ConfigError: if the hours or the policy file are wrong.
    """
    spans = tuple(parse_span("[door] unlocked_hours", each) for each in config.door.unlocked_hours)
    policy, schedule = policy_of(config), Schedule(spans, ())
    if config.access.policy is None:  # then by the machine's own time zone
        return lambda utc: schedule.holds(utc.astimezone(), policy.holidays)
    return lambda utc: schedule.holds(policy.local(utc), policy.holidays)


def obeyed(word: str, *, keeper: Doorkeeper, directory: Path) -> str:
    """Do what an operator says, and return how the door is then.

    Raises:
        DoorError: if it cannot be done, or the door refuses.
    """
    now_s = time.monotonic()
    if word == RELEASE:
        if keeper.tell(Event(now_s, Happening.OPERATOR)).lockdown:
            raise HardwareError("a lockdown holds; end it first: janus door resume")
    elif word == LOCKDOWN:
        keeper.tell(Event(now_s, Happening.LOCKDOWN))
        set_lockdown(directory, holds=True)
    elif word == RESUME:
        # In the audit before it is so; and where the file stays, so does the lockdown.
        keeper.tell(Event(now_s, Happening.RESUME))
        try:
            set_lockdown(directory, holds=False)
        except HardwareError:
            keeper.tell(Event(now_s, Happening.LOCKDOWN))
            raise
    return keeper.state.name.value
