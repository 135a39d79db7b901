"""No input ends in a traceback; a sample of the ten thousand."""

import pytest

from tests.faults.fuzz import fuzz


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_inputs_of_every_kind(tmp_path, count):
    """Every target takes its share; see `python -m tests.faults --fuzz 10000`."""
    assert sum(taken for _, taken in fuzz(count, count, tmp_path)) >= count
