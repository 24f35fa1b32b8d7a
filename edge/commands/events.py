"""`janus events`: what the door did and why, and whether that log is whole."""

from __future__ import annotations

import csv
import json
import sys
import time
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from edge.audit import DECISION, Audit, Event
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import DoorConfig
from edge.errors import AuditError, ConfigError, GalleryError
from edge.explanation import explain
from edge.gallery import GalleryStore
from edge.privacy import retain_events
from edge.vocabulary import Flaw, Outcome, Reason

_LAST = 50
_POLL_S = 0.5
_FOLLOWING = 20  # events after a decision in which its outcome is looked for
_FACT_COLUMNS = ("outcome", "reason", "subject_id", "score", "threshold", "evidence", "frames")
_COLUMNS = ("seq", "at_utc", "kind", *_FACT_COLUMNS, "name", "facts", "hash")


def _add_arguments(parser: ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="events from this date or time on, such as 2026-11-22 or 2026-11-22T08:30 (UTC)",
    )
    which.add_argument(
        "--last", type=_count, metavar="N", help=f"the last N events (default: {_LAST})"
    )
    parser.add_argument("--follow", action="store_true", help="go on with new events until Ctrl-C")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line")
    form.add_argument(
        "--csv", action="store_true", help="print comma-separated values, with a head"
    )
    parser.add_argument("--verify", action="store_true", help=SUPPRESS)  # as it was called first
    add_config_option(parser)
    parser.set_defaults(act=_show)
    actions = parser.add_subparsers(metavar="{verify,explain,prune}")
    _add_action(
        actions,
        "verify",
        "Check every link of the chain; exit code 4 names the first that is broken.",
        _verify,
        "janus events verify",
    )
    explain_one = _add_action(
        actions,
        "explain",
        "Say in words, from the stored numbers, why the door did or did not open.",
        _explain,
        "janus events explain 17",
    )
    explain_one.add_argument("seq", metavar="EVENT", type=_count, help="the number of the event")
    _add_action(
        actions,
        "prune",
        "Remove the events that [privacy] audit_days and audit_mb let go of.",
        _prune,
        "janus events prune",
    )


def _add_action(
    actions: Any,  # noqa: ANN401 - argparse does not name its type
    name: str,
    summary: str,
    act: Callable[[Namespace, DoorConfig], int],
    example: str,
) -> ArgumentParser:
    parser: ArgumentParser = actions.add_parser(
        name, help=summary, description=summary, epilog=f"example: {example}"
    )
    add_config_option(parser, again=True)
    parser.set_defaults(act=act)
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ArgumentTypeError(
            f"{text!r} is no date or time; write it as 2026-11-22 or 2026-11-22T08:30"
        ) from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is no number of events; write a whole number from 1")
    return int(text)


def _run(arguments: Namespace) -> int:
    chosen = arguments.since or arguments.last or arguments.follow
    if (arguments.verify or arguments.act is not _show) and chosen:
        raise ConfigError("--since, --last and --follow choose what is shown; leave them out here")
    act = _verify if arguments.verify else arguments.act
    code: int = act(arguments, config_from(arguments))
    return code


def _show(arguments: Namespace, config: DoorConfig) -> int:
    written = csv.writer(sys.stdout) if arguments.csv else None
    with Audit(config.store.audit, create=False) as audit:
        limit = None if arguments.since else arguments.last or _LAST
        if written is not None:
            written.writerow(_COLUMNS)
        events = audit.events(since_utc=arguments.since, limit=limit)
        _print_all(events, _names(config), arguments, written)
        while arguments.follow:
            seq = events[-1].seq if events else 0
            time.sleep(_POLL_S)
            if new := audit.events(since_utc=arguments.since, after_seq=seq):
                events = new
                _print_all(events, _names(config), arguments, written)
    return 0


def _verify(_: Namespace, config: DoorConfig) -> int:
    """Check the chain and print its end.

    Raises:
        AuditError: with the first broken link.
    """
    path = config.store.audit
    with Audit(path, create=False) as audit:
        if (broken := audit.verify()) is not None:
            raise AuditError(f"the chain of {path} breaks: {broken}; keep the file as evidence")
        last = audit.events(limit=1)
        first = audit.first_seq()
    if not last:
        print("the audit is empty")
        return 0
    print(
        f"{last[0].seq - first + 1} events, every link holds; the last hash is {last[0].hash}\n"
        "note it elsewhere: only against it does a cut-off end show"
    )
    if first > 1:
        print(f"the {first - 1} events before were removed, as retention asks")
    return 0


def _explain(arguments: Namespace, config: DoorConfig) -> int:
    with Audit(config.store.audit, create=False) as audit:
        event, *following = audit.event_and_next(arguments.seq, _FOLLOWING)
    names = _names(config)
    for line in explain(event, following, lambda subject_id: _who(subject_id, names)):
        print(line)
    return 0


def _prune(_: Namespace, config: DoorConfig) -> int:
    with Audit(config.store.audit, create=False) as audit:
        removed = retain_events(config, audit, datetime.now(UTC))
    print(f"{removed} event(s) removed; the chain holds without them")
    return 0


def _names(config: DoorConfig) -> dict[str, str] | None:
    """Return who is enrolled, or None, aloud, if the gallery cannot say."""
    try:
        with GalleryStore(config.store.gallery, None, key=config.store.storage_key) as gallery:
            return gallery.names()
    except GalleryError as exc:
        print(f"subjects appear by id, because {exc}", file=sys.stderr)
        return None


def _print_all(
    events: tuple[Event, ...],
    names: dict[str, str] | None,
    arguments: Namespace,
    written: Any,  # noqa: ANN401 - csv does not name its writer's type
) -> None:
    for event in events:
        if written is not None:
            written.writerow(_row(event, names))
        else:
            print(_json(event, names) if arguments.json else _line(event, names))
    sys.stdout.flush()


def _row(event: Event, names: dict[str, str] | None) -> list[object]:
    """Return an event as `_COLUMNS` has it; a name that a spreadsheet would run is disarmed."""
    facts = event.facts
    name = (names or {}).get(str(facts.get("subject_id")), "")
    if name.startswith(("=", "+", "-", "@")):
        name = "'" + name
    return [
        event.seq,
        event.at_utc,
        event.kind,
        *(facts.get(column, "") for column in _FACT_COLUMNS),
        name,
        json.dumps(dict(facts), ensure_ascii=False, sort_keys=True),
        event.hash,
    ]


def _json(event: Event, names: dict[str, str] | None) -> str:
    subject_id = event.facts.get("subject_id")
    name = (names or {}).get(str(subject_id))
    return json.dumps({**asdict(event), "name": name}, ensure_ascii=False)


def _line(event: Event, names: dict[str, str] | None) -> str:
    """Return number, UTC time, what happened, to whom, and why."""
    said = _decision(event, names) if event.kind == DECISION else _notice(event, names)
    return f"{event.seq:6}  {event.at_utc[:10]} {event.at_utc[11:23]}  {said}"


def _who(subject_id: object, names: dict[str, str] | None) -> str:
    if names is None:
        return str(subject_id)
    return names.get(str(subject_id), f"{subject_id} (forgotten)")


def _decision(event: Event, names: dict[str, str] | None) -> str:
    """Return a decision in words; one whose facts this release does not know is shown as it is."""
    facts = event.facts
    try:
        outcome = Outcome(facts["outcome"]).value
        reason = Reason[str(facts["reason"]).upper()].value
        flaws = [Flaw[str(each).upper()].value for each in facts["flaws"]]  # type: ignore[attr-defined]
        score, threshold, frames = facts["score"], facts["threshold"], facts["frames"]
    except (KeyError, TypeError, ValueError):
        return _notice(event, names)
    parts = [f"{outcome:8}"]
    if facts.get("subject_id") is not None:
        parts.append(f"{_who(facts['subject_id'], names)}:")
    parts.append(reason)
    if isinstance(score, float) and isinstance(threshold, float):
        parts.append(f"(score {score:.3f}, threshold {threshold:.3f}, {frames} frame(s))")
    if flaws:
        parts.append("- " + ", ".join(flaws))
    return " ".join(parts)


def _notice(event: Event, names: dict[str, str] | None) -> str:
    facts = dict(event.facts)
    parts = [f"{event.kind:8}"]
    if (subject_id := facts.pop("subject_id", None)) is not None:
        parts.append(_who(subject_id, names))
    parts += [f"{key}={value}" for key, value in facts.items()]
    return " ".join(parts)


COMMANDS = (
    Command(
        name="events",
        summary="Show what the door did, explain why, or verify that log.",
        example="janus events --since 2026-11-22",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
