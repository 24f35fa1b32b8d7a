"""`janus events`: what the door did and why, and whether that log is whole."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from edge.audit import DECISION, Audit, Event
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.errors import AuditError, ConfigError, GalleryError
from edge.gallery import GalleryStore
from edge.vocabulary import Flaw, Outcome, Reason

_LAST = 50
_POLL_S = 0.5


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
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument(
        "--verify", action="store_true", help="check the whole chain instead; exit code 4 if broken"
    )
    add_config_option(parser)


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
    config = config_from(arguments)
    if arguments.verify and (arguments.since or arguments.last or arguments.follow):
        raise ConfigError("--verify checks the whole log; leave out --since, --last and --follow")
    with Audit(config.store.audit, create=False) as audit:
        if arguments.verify:
            return _verify(audit, config.store.audit)
        names = _names(config.store.gallery)
        limit = None if arguments.since else arguments.last or _LAST
        events = audit.events(since_utc=arguments.since, limit=limit)
        _print_all(events, names, as_json=arguments.json)
        while arguments.follow:
            seq = events[-1].seq if events else 0
            time.sleep(_POLL_S)
            if new := audit.events(since_utc=arguments.since, after_seq=seq):
                events = new
                _print_all(events, _names(config.store.gallery), as_json=arguments.json)
    return 0


def _verify(audit: Audit, path: Path) -> int:
    """Check the chain and print its end.

    Raises:
        AuditError: with the first broken link.
    """
    if (broken := audit.verify()) is not None:
        raise AuditError(f"the chain of {path} breaks: {broken}; keep the file as evidence")
    last = audit.events(limit=1)
    if not last:
        print("the audit is empty")
    else:
        print(
            f"{last[0].seq} events, every link holds; the last hash is {last[0].hash}\n"
            "note it elsewhere: only against it does a cut-off end show"
        )
    return 0


def _names(path: Path) -> dict[str, str] | None:
    """Return who is enrolled, or None, aloud, if the gallery cannot say."""
    try:
        with GalleryStore(path, model_id=None) as gallery:
            return gallery.names()
    except GalleryError as exc:
        print(f"subjects appear by id, because {exc}", file=sys.stderr)
        return None


def _print_all(events: tuple[Event, ...], names: dict[str, str] | None, *, as_json: bool) -> None:
    for event in events:
        print(_json(event, names) if as_json else _line(event, names), flush=True)


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
        summary="Show what the door did and why, or verify that log.",
        example="janus events --since 2026-11-22",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
