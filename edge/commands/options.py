"""What several commands have in common on the command line."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path

from edge.config import ENVIRONMENT_VARIABLE, SYSTEM_PATH, DoorConfig, find_config, read_config


def add_config_option(parser: ArgumentParser, *, again: bool = False) -> None:
    """Declare --config; *again* for an action of a command that has it already.

    Without that, the action's default would undo a --config that stands before its name.
    """
    parser.add_argument(
        "--config",
        type=Path,
        default=SUPPRESS if again else None,
        metavar="FILE",
        help=f"configuration (default: ${ENVIRONMENT_VARIABLE}, else {SYSTEM_PATH})",
    )


def config_from(arguments: Namespace) -> DoorConfig:
    """Return the configuration that is in force.

    Raises:
        ConfigError: if there is none, or it is wrong.
    """
    return read_config(find_config(arguments.config))
