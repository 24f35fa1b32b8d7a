"""`janus config`: the configuration as it could be, or as it is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.example import example_config


def _add_arguments(parser: ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument(
        "--example", action="store_true", help="print a file with every key, unit and default"
    )


def _run(arguments: Namespace) -> int:
    if arguments.example:
        print(example_config())
        return 0
    for name, table in asdict(config_from(arguments)).items():
        for key, value in table.items():
            print(f"[{name}] {key} = {value}")
    return 0


COMMANDS = (
    Command(
        name="config",
        summary="Print the configuration in force, or an example of one.",
        example="janus config --example > janus.toml",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
