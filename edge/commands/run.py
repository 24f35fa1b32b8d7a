"""`janus run`: the door itself; `janus check`: whether it could run."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from edge.access.keypad import open_keypad
from edge.access.opening import policy_of, state_path
from edge.access.policy import strangers
from edge.access.state import AccessStore
from edge.audit import Audit
from edge.bundles.installed import open_bundle
from edge.camera import open_camera
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import DoorConfig, find_config
from edge.detect import open_detector
from edge.door_events import Happening
from edge.errors import (
    CameraError,
    ConfigError,
    DoorError,
    DoorIsRunningError,
    GalleryError,
    HardwareError,
)
from edge.gallery import GalleryStore
from edge.gpio import open_driver
from edge.inputs import Inputs
from edge.instance import sole_door
from edge.pipeline import policy_from
from edge.promise import promise
from edge.relay import open_relay
from edge.service import open_encoder, serve
from edge.signals import open_signals

_LEAST_FREE_MB = 100
_SAID = {
    Happening.OPENED: "the contact says open",
    Happening.CLOSED: "the contact says closed",
    Happening.TAMPERED: "the case says open",
    Happening.TAMPER_OVER: "the case says closed",
}


def _run(arguments: Namespace) -> int:
    serve(config_from(arguments))
    return 0


def _check(arguments: Namespace) -> int:
    """Print a line for each part, and return the exit code of the first that fails."""
    try:
        path = find_config(arguments.config)
        config = config_from(arguments)
    except DoorError as exc:
        print(f"FAIL  configuration  {exc}")
        return exc.exit_code
    print(f"ok    configuration  {path}")
    code = 0
    try:
        with sole_door(config.store.audit.parent):
            pass
        runs = False
    except DoorIsRunningError:
        runs = True
    except HardwareError:
        runs = False  # the audit's own line says what is wrong there
    for name, examine in _examinations(config):
        if runs and name in ("camera", "relay", "keypad"):
            print(f"ok    {name:13}  in the hands of the running door, left alone")
            continue
        try:
            print(f"ok    {name:13}  {examine()}")
        except DoorError as exc:
            print(f"FAIL  {name:13}  {exc}")
            code = code or exc.exit_code
    return code


def _examinations(config: DoorConfig) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "model", lambda: _check_model(config)
    yield "detector", lambda: _check_detector(config)
    yield "camera", lambda: _check_camera(config)
    yield "relay", lambda: _check_relay(config)
    yield "gallery", lambda: _check_gallery(config)
    yield "decision", lambda: _check_decision(config)
    yield "access", lambda: _check_access(config)
    if config.access.keypad != "none":
        yield "keypad", lambda: _check_keypad(config)
    yield "audit", lambda: _check_audit(config)
    yield "disk", lambda: _check_disk(config.store.audit.parent)


def _check_detector(config: DoorConfig) -> str:
    eyes = open_bundle(config).eyes if config.detector.backend == "janus" else None
    detector = open_detector(config.detector, runtime=config.encoder.runtime, eyes=eyes)
    return type(detector).__name__


def _check_model(config: DoorConfig) -> str:
    bundle, embedder = open_encoder(config)
    point = bundle.operating_point
    return (
        f"{bundle.name} {embedder.model_id[:12]}, threshold {point.threshold:.3f}: FMR "
        f"{point.fmr:.2g}, FNMR {point.fnmr:.2g} on {point.data_id}"
    )


def _check_camera(config: DoorConfig) -> str:
    with closing(open_camera(config.camera)) as camera:
        for frame in camera.frames():
            height, width, _ = frame.pixels.shape
            return f"{config.camera.backend}: a frame of {width} x {height} pixels"
    raise CameraError("the camera opened but gave no frame; look at its cable or source")


def _check_relay(config: DoorConfig) -> str:
    with ExitStack() as stack:
        relay = stack.enter_context(closing(open_relay(config.relay)))
        stack.enter_context(closing(open_signals(relay.driver, config.signals)))
        inputs = Inputs(relay.driver, config.inputs, tell=lambda _: None, pressed=lambda: None)
        stack.enter_context(closing(inputs))
        said = [_SAID[each.what] for each in inputs.at_start()]
        parts = [f"GPIO {config.relay.pin} by {config.relay.pin_factory}, locked", *said]
        return "; ".join(parts)


def _check_gallery(config: DoorConfig) -> str:
    bundle = open_bundle(config)
    key = config.store.storage_key
    with closing(GalleryStore(config.store.gallery, bundle.model_id, key=key)) as gallery:
        people = gallery.people()
        return f"{len(people)} people, {sum(each.references for each in people)} references"


def _check_decision(config: DoorConfig) -> str:
    """Say what error rate the door can keep to; refuse a door that would let in nobody."""
    bundle = open_bundle(config)
    policy = policy_from(config.decision, bundle.operating_point, bundle.evidence, bundle.model_id)
    key = config.store.storage_key
    with closing(GalleryStore(config.store.gallery, bundle.model_id, key=key)) as gallery:
        said = promise(policy, len(gallery.load().subject_ids))
    keypad = config.access.keypad != "none"
    if not said.possible(keypad=keypad):
        raise ConfigError(f"{said}" if keypad else f"{said}; this door has no keypad for PINs")
    return str(said)


def _check_access(config: DoorConfig) -> str:
    """Read the policy, and what is remembered of PINs and failures."""
    policy = policy_of(config)
    with AccessStore(state_path(config)) as state:
        pins = len(state.subjects_with_pin())
    key = config.store.storage_key
    with closing(GalleryStore(config.store.gallery, None, key=key)) as gallery:
        doubts = strangers(policy, gallery.names())
    said = f"{len(policy.groups)} group(s), {pins} people with a PIN"
    return "; ".join((said, *doubts))


def _check_keypad(config: DoorConfig) -> str:
    with closing(open_driver(config.relay)) as driver:
        keypad = open_keypad(config.access, driver, tell=lambda _: None)
        if keypad is not None:
            keypad.close()
    return f"{config.access.keypad}: it can be had"


def _check_audit(config: DoorConfig) -> str:
    with closing(Audit(config.store.audit)) as audit:
        broken = audit.verify()
        if broken is not None:
            raise GalleryError(f"{config.store.audit}: the chain breaks: {broken}")
        return "the chain verifies"


def _check_disk(directory: Path) -> str:
    try:
        free_mb = shutil.disk_usage(directory).free // 1_000_000
    except OSError as exc:
        raise GalleryError(f"{directory}: {exc.strerror}") from exc
    if free_mb < _LEAST_FREE_MB:
        raise GalleryError(
            f"{directory} has {free_mb} MB free, less than {_LEAST_FREE_MB}; a door that cannot "
            "write its audit stays shut, so make room"
        )
    return f"{free_mb:,} MB free in {directory}"


COMMANDS = (
    Command(
        name="run",
        summary="Run the door: watch the camera, release the strike for those who are enrolled.",
        example="janus run --config /etc/janus/janus.toml",
        add_arguments=add_config_option,
        run=_run,
    ),
    Command(
        name="check",
        summary="Check configuration, model, camera, relay, policy, stores and disk, a line each.",
        example="janus check",
        add_arguments=add_config_option,
        run=_check,
    ),
)
