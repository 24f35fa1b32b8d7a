"""`janus access`: who may enter now, whether the policy is sound, and an end to a lockout."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from math import isinf
from pathlib import Path

from edge.access.attempts import Attempts, Running
from edge.access.opening import boot_id, moment_now, policy_of, state_path
from edge.access.policy import AccessPolicy, Group, admission, memberships, read_policy, strangers
from edge.access.state import DOOR, AccessStore, subject_key
from edge.access.verdict import AccessReason, Moment
from edge.audit import Audit
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import DoorConfig
from edge.gallery import GalleryStore

_DOUBTS = 1


def _add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="{show,check,reset}")
    summary = "Say who may enter now, who has a PIN, and what is locked out."
    show = actions.add_parser(
        "show", help=summary, description=summary, epilog="example: janus access show"
    )
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(act=_show)
    summary = "Check a policy file, and that its members are enrolled; exit code 1 if some are not."
    check = actions.add_parser(
        "check", help=summary, description=summary, epilog="example: janus access check policy.toml"
    )
    check.add_argument(
        "policy", metavar="FILE", type=Path, nargs="?", help="left out: the one in [access] policy"
    )
    check.set_defaults(act=_check)
    summary = "End a lockout: forget the failures of the door and of everybody, or of one person."
    reset = actions.add_parser(
        "reset", help=summary, description=summary, epilog="example: janus access reset"
    )
    reset.add_argument("name", metavar="NAME", nargs="?", help="whose wrong PINs; left out: all")
    reset.set_defaults(act=_reset)
    for each in (show, check, reset):
        add_config_option(each)


def _run(arguments: Namespace) -> int:
    code: int = arguments.act(arguments)
    return code


def _show(arguments: Namespace) -> int:
    config = config_from(arguments)
    policy, names, at = policy_of(config), _names(config), moment_now()
    with AccessStore(state_path(config)) as store:
        now = Running(at.monotonic_s, boot_id())
        with_pin = store.subjects_with_pin()
        days = store.entered_on()
        failures = {each.who: each.attempts for each in store.failures(now)}
    people = [
        {
            "name": name,
            "subject_id": subject_id,
            "groups": memberships(policy, subject_id, name),
            "now": _said(admission(policy, subject_id, name, at.utc, days)),
            "pin": subject_id in with_pin,
            "wrong_pins": failures.get(subject_key(subject_id), Attempts()).failures,
        }
        for subject_id, name in sorted(names.items(), key=lambda each: each[1].casefold())
    ]
    door = failures.get(DOOR, Attempts())
    if arguments.json:
        left_s = None if isinf(door.left_s) else door.left_s
        shown = {"failed_visits": door.failures, "paused": door.paused, "left_s": left_s}
        print(json.dumps({"door": shown, "people": people}, ensure_ascii=False, indent=2))
    else:
        _print(people, door, policy, at)
    return 0


def _said(found: Group | AccessReason) -> str:
    return f"may enter, group {found.name}" if isinstance(found, Group) else found.value


def _print(
    people: list[dict[str, object]], door: Attempts, policy: AccessPolicy, at: Moment
) -> None:
    print(f"it is {policy.local(at.utc):%A %Y-%m-%d %H:%M} at the door; {_state(door)}")
    width = max([4, *(len(str(each["name"])) for each in people)])
    for each in people:
        pin = "PIN" if each["pin"] else ""
        wrong = f"  ({each['wrong_pins']} wrong PINs in a row)" if each["wrong_pins"] else ""
        print(f"{each['name']!s:{width}}  {pin:3}  {each['now']}{wrong}")


def _state(door: Attempts) -> str:
    if isinf(door.left_s):
        return f"{door.failures} visits failed: the face is off until `janus access reset`"
    paused = f"; it waits {door.left_s:.0f} s" if door.paused else ""
    return f"{door.failures} visits failed in a row{paused}"


def _check(arguments: Namespace) -> int:
    asked: Path | None = arguments.policy
    # A file alone can be checked anywhere; whether it fits needs the door's configuration.
    doubts: tuple[str, ...] = ()
    config = None if asked is not None and arguments.config is None else config_from(arguments)
    if config is None:
        policy = read_policy(asked or Path())
    else:
        if asked is not None:
            config = replace(config, access=replace(config.access, policy=asked))
        policy = policy_of(config)
        doubts = strangers(policy, _names(config))
    for each in doubts:
        print(each, file=sys.stderr)
    print(f"{len(policy.groups)} group(s): {', '.join(each.name for each in policy.groups)}")
    return _DOUBTS if doubts else 0


def _reset(arguments: Namespace) -> int:
    config = config_from(arguments)
    subject_id = None
    if arguments.name is not None:
        with _gallery(config) as gallery:
            subject_id = gallery.find(arguments.name).subject_id
    with AccessStore(state_path(config)) as store, Audit(config.store.audit) as audit:
        audit.note("access reset", subject_id=subject_id)
        store.reset(subject_id)
    print(f"the failures of {arguments.name or 'the door and of everybody'} are forgotten")
    return 0


def _gallery(config: DoorConfig) -> GalleryStore:
    return GalleryStore(config.store.gallery, model_id=None, key=config.store.storage_key)


def _names(config: DoorConfig) -> Mapping[str, str]:
    with _gallery(config) as gallery:
        return gallery.names()


COMMANDS = (
    Command(
        name="access",
        summary="Say who may enter now, check the policy, end a lockout.",
        example="janus access show",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
