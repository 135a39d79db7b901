"""The commands as one: `--help` groups them; what users can cause is a line and an exit code."""

from __future__ import annotations

import errno
import logging
import sys
import typing
from typing import Any

import click

from samediff_stimuli.recipe import InputError

SECTIONS = {  # heading -> commands, as far as there are such; others come last
    "Make": ("list", "generate", "show", "import", "download"),
    "Check": ("verify", "audit", "validate"),
    "Look": ("preview", "serve"),
    "Share": ("export", "publish"),
    "Train and test": ("train", "evaluate", "matrix"),
    "Look inside a model": ("attention", "interchange"),
}
KEPT = {  # command -> what the same command does not do again after it broke off
    "generate": "finished shards are kept",
    "import": "finished shards are kept",
    "download": "what arrived is kept",
    "publish": "what arrived is not sent twice",
    "train": "finished epochs are kept",
    "matrix": "finished models are kept",
    "validate": "what is finished is kept",
}
EXIT_CODES = "Exit codes: 0 fine, 1 a check failed, 2 bad usage or input."


class _Said(logging.Handler):
    """Shows on stderr what the library has to say while it works."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line; above a progress bar, if there is one."""
        print(record.getMessage(), file=sys.stderr)


class Commands(click.Group):
    """A group that turns what users can cause into one line and an exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Take a command; its help ends in what its exit codes mean."""
        cmd.epilog = cmd.epilog or EXIT_CODES
        super().add_command(cmd, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, each with its whole first sentence."""
        listed = {name for names in SECTIONS.values() for name in names}
        more = tuple(name for name in self.list_commands(ctx) if name not in listed)
        for heading, names in {**SECTIONS, "More": more}.items():
            found = [(name, self.commands[name]) for name in names if name in self.commands]
            if found:
                with formatter.section(heading):
                    formatter.write_dl([(n, c.get_short_help_str(_SENTENCE)) for n, c in found])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what users can cause ends in a line and an exit code."""

        def kept() -> str:
            return KEPT.get(ctx.invoked_subcommand or "", "")

        said = logging.getLogger("samediff_stimuli")
        said.handlers, said.level = [_Said()], logging.INFO
        try:
            return super().invoke(ctx)
        except InputError as error:
            fail(str(error), 2)
        except KeyboardInterrupt:
            again = f"; run the same command again: {kept()}" if kept() else ""
            fail(f"interrupted{again}", 130)
        except MemoryError as error:
            fail(f"out of memory: {error}; choose a smaller image_size or larger patches", 2)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = "; free some space and run the same command" if full else ""
            if kept() and (full or isinstance(error, ChildProcessError | ConnectionError)):
                hint += f": {kept()}"  # what is lost of a crew says the rest
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}{hint}", 2)
        except Exception as error:  # the modules of these import much: look at the name
            kind = type(error).__name__
            if kind == "RenderingError":
                images = ctx.invoked_subcommand == "generate"
                fail(
                    f"{error}{'; run the same command again: finished images are kept' * images}", 2
                )
            if kind != "DamagedError":
                raise
            fail(f"{error}; see what is wrong with 'samediff-stimuli verify'", 2)


_SENTENCE = 160  # characters of a command's first sentence


def fail(message: str, code: int) -> typing.NoReturn:
    """Say what is wrong on stderr, and exit."""
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)
