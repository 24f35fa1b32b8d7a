"""One subcommand of `janus`: what it is called, what it needs, and what it does."""

from __future__ import annotations

import importlib.util
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from edge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand.

    Args:
        name: the word after `janus`.
        summary: one line for the list of commands.
        example: a full command line that works, shown by `--help`.
        add_arguments: declares the command's own arguments.
        run: does the work and returns the exit code; imports what is heavy inside.
        needs: top-level modules that must be importable.
        extra: the extra of janus-door that installs them.
    """

    name: str
    summary: str
    example: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    needs: tuple[str, ...] = ()
    extra: str = ""

    def missing(self) -> tuple[str, ...]:
        """Return the modules of `needs` that are not installed."""
        return tuple(each for each in self.needs if importlib.util.find_spec(each) is None)

    def __call__(self, arguments: Namespace) -> int:
        """Run the command and return its exit code.

        Raises:
            ConfigError: if a module that the command needs is not installed.
        """
        if missing := self.missing():
            raise ConfigError(
                f"`janus {self.name}` needs {', '.join(missing)}, which is not installed; "
                f"run: pip install 'janus-door[{self.extra}]'"
            )
        return self.run(arguments)
