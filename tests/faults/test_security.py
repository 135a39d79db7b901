"""SECURITY.md says what tests hold."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()


def test_every_claim_has_its_test():
    """Each test and file of tests that the page names is there, and each claim names one."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    functions = {
        node.name
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    named = re.findall(r"`(test_\w+)`", TEXT)
    assert set(named) <= functions
    assert len(named) >= 10
    for path in re.findall(r"`(tests/[\w/]+\.py)`", TEXT):
        assert (ROOT / path).is_file(), path
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")][2:]
    assert rows
    assert all(re.search(r"`(test_\w+|tests/[^`]+)` \|$", row) for row in rows)
