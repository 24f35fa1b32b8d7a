"""The program `janus`: find the commands, run one, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from edge import __version__
from edge.command import Command
from edge.errors import ConfigError, DoorError
from edge.health.journal import JournalFormatter, writes_to_journal

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_STANDARD_ERROR = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
# What the service manager starts → its module. A door runs for years, and in little memory; the
# strike is to be locked as soon as can be: neither imports anybody else's commands.
_OF_THE_SERVICE = {"run": "edge.commands.run", "lock": "edge.commands.door"}


def needed(words: Sequence[str]) -> tuple[Command, ...]:
    """Return every package's commands, or those of one module if that has what *words* ask for."""
    module = _OF_THE_SERVICE.get(words[0]) if words else None
    return commands() if module is None else importlib.import_module(module).COMMANDS


def commands() -> tuple[Command, ...]:
    """Return every package's commands, those of edge first."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - see `_OF_THE_SERVICE`

    offered = sorted(entry_points(group="janus.commands"), key=lambda each: each.name != "edge")
    return tuple(command for entry in offered for command in entry.load())


def build_parser(known: Sequence[Command]) -> argparse.ArgumentParser:
    """Return the parser; commands whose dependencies are missing work but are not listed."""
    parser = argparse.ArgumentParser(
        prog="janus",
        description="A face-recognition door: enrol people, run the door, look at what it did.",
        epilog="example: janus demo",
    )
    parser.add_argument("--version", action="version", version=f"janus {__version__}")
    listed = [each.name for each in known if not each.missing()]
    subparsers = parser.add_subparsers(
        dest="command", required=True, metavar="{" + ",".join(listed) + "}"
    )
    for command in known:
        shown = {} if command.missing() else {"help": command.summary}
        subparser = subparsers.add_parser(
            command.name,
            description=command.summary,
            epilog=f"example: {command.example}",
            **shown,  # type: ignore[arg-type]
        )
        if not command.missing():
            command.add_arguments(subparser)
        subparser.set_defaults(run=command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `janus` with *argv* and return the exit code; errors become one line on stderr."""
    program = "janus"
    words = sys.argv[1:] if argv is None else argv
    try:
        _begin_log(_log_level())
        parser = build_parser(needed(words))
        arguments, unknown = parser.parse_known_args(words)
        program = f"janus {arguments.command}"
        # Where something must be installed first, that is the one complaint, whatever is asked.
        if unknown and not arguments.run.missing():
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except DoorError as exc:
        print(f"{program}: {exc}", file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would complain again at exit without this.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as exc:  # the one broad except: stages have locked the relay on the way here
        logging.getLogger("janus").debug("unexpected", exc_info=True)
        print(
            f"{program}: unexpected {type(exc).__name__}: {exc}; "
            "run again with JANUS_LOG=debug for the traceback, and report it",
            file=sys.stderr,
        )
        return 1
    return code


def _begin_log(level: str) -> None:
    """Log to standard error; with levels in the journal's own form where that is the journal."""
    logging.basicConfig(level=level, format="%(levelname)s %(message)s")
    if writes_to_journal(_STANDARD_ERROR):
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JournalFormatter("%(message)s"))


def _log_level() -> str:
    """Return $JANUS_LOG, or INFO.

    Raises:
        ConfigError: if that is no level.
    """
    level = os.environ.get("JANUS_LOG", "INFO").upper()
    if level not in _LOG_LEVELS:
        raise ConfigError(f"JANUS_LOG={level}; expected one of {', '.join(_LOG_LEVELS)}")
    return level
