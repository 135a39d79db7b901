"""`--help` teaches: every command under a heading, with its whole first sentence and an example."""

import errno
import re

import pytest
from click.testing import CliRunner

from samediff_stimuli.cli import main
from samediff_stimuli.cli_group import EXIT_CODES, KEPT, SECTIONS
from samediff_stimuli.engines import lost

COMMANDS = sorted(main.commands)


def help_of(*words):
    """What `--help` prints, as one line."""
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    return " ".join(done.stdout.split())


def test_every_command_has_a_heading():
    """Each command stands once, under a heading that says what it is for; no sentence is cut."""
    text = help_of()
    assert "..." not in text.replace("[ARGS]...", "")
    assert {*COMMANDS} <= {name for names in SECTIONS.values() for name in names}
    listed = text[text.index("Make:") :]
    for heading in SECTIONS:
        assert f"{heading}: " in listed
    assert {*KEPT} <= {*COMMANDS}
    for name in COMMANDS:
        assert f" {name} {main.commands[name].get_short_help_str(160)}" in listed


def test_a_command_that_no_heading_knows():
    """It is listed all the same, after the others."""

    @main.command("zebra")
    def zebra():
        """Paint stripes."""

    try:
        assert "More: zebra Paint stripes." in help_of()
    finally:
        del main.commands["zebra"]


@pytest.mark.parametrize(
    ("name", "kept"), [("generate", ": finished shards are kept"), ("verify", "")]
)
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (lost("dask", OSError("gone")), "the dask cluster was lost or cannot do the work"),
        (OSError(errno.ENOSPC, "No space left"), "No space left; free some space and run the same"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_what_is_kept_of_a_command_that_broke_off(name, kept, error, said, monkeypatch):
    """A line says so where it is true, and of no other command."""

    def break_off(**options):
        raise error

    monkeypatch.setattr(main.commands[name], "callback", break_off)
    words = {"generate": ["--task", "rmts", "--seed", "0"], "verify": ["."]}[name]
    told = CliRunner().invoke(main, [name, *words]).stderr.strip()
    assert told.startswith(f"Error: {said}")
    wanted = "" if isinstance(error, PermissionError) else kept
    assert told.endswith(wanted)
    assert (": finished" in told) is bool(wanted)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name):
    """It says what exit codes mean, and what to type; what is typed is taken."""
    text = help_of(name)
    assert text.endswith(EXIT_CODES)
    if name != "preview":  # one argument
        assert re.search(rf"samediff-stimuli {name}\b", text.split("Usage", 1)[1][40:])
