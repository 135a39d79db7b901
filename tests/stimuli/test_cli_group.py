"""`--help` teaches: every command under a heading, with its whole first sentence and an example."""

import re

import pytest
from click.testing import CliRunner

from samediff_stimuli.cli import main
from samediff_stimuli.cli_group import EXIT_CODES, SECTIONS

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


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name):
    """It says what exit codes mean, and what to type; what is typed is taken."""
    text = help_of(name)
    assert text.endswith(EXIT_CODES)
    if name != "preview":  # one argument
        assert re.search(rf"samediff-stimuli {name}\b", text.split("Usage", 1)[1][40:])
