"""Open the gate that the configuration names, and tell it the time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from edge.access.gate import Gate
from edge.access.policy import NO_POLICY, AccessPolicy, read_policy
from edge.access.state import AccessStore
from edge.access.verdict import Moment
from edge.config import DoorConfig
from edge.errors import ConfigError
from edge.stores.store import BUSY_S

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def open_gate(
    config: DoorConfig, names: Callable[[], Mapping[str, str]], *, busy_s: float = BUSY_S
) -> Gate:
    """Return the gate of the configured door.

    Args:
        config: the whole configuration.
        names: gives subject id → enrolled name, such as `GalleryStore.names`.
        busy_s: how long to wait for another program's lock.

    Raises:
        ConfigError: if the policy is wrong.
        AccessError: if the state cannot be opened; the door stays shut.
    """
    policy = policy_of(config)
    store = AccessStore(state_path(config), busy_s=busy_s)
    try:
        return Gate(config.access, policy, store, at=moment_now(), boot_id=boot_id(), names=names)
    except BaseException:
        store.close()
        raise


def policy_of(config: DoorConfig) -> AccessPolicy:
    """Return the policy that is in force; without a file, everybody who is enrolled may enter.

    Raises:
        ConfigError: with the file, the key, the value and the nearest valid one.
    """
    path = config.access.policy
    if path is None:
        return NO_POLICY
    policy = read_policy(path)
    has = {"pin": config.access.keypad != "none", "button": config.inputs.button_pin is not None}
    for group in policy.groups:
        asks = group.second_factor == "always" or group.second_factor_by == "button"
        if asks and not has[group.second_factor_by]:
            wire = {"pin": "[access] keypad", "button": "[inputs] button_pin"}
            raise ConfigError(
                f"{path}: [group.{group.name}] asks for the {group.second_factor_by}, but this "
                f"door has none, so nobody could give it; see {wire[group.second_factor_by]}"
            )
    return policy


def state_path(config: DoorConfig) -> Path:
    """Return the file of the access state."""
    return config.access.state or config.store.gallery.with_name("access.sqlite")


def boot_id() -> str:
    """Return what names this run of the machine; where the kernel does not say, this program's."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)


def moment_now() -> Moment:
    """Return the present by both clocks."""
    return Moment(time.monotonic(), datetime.now(UTC))
