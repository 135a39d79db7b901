"""Files are there whole or not at all."""

import fnmatch

import pytest

from samediff_stimuli.replacing import replacing


def test_a_file_is_replaced_at_the_end(tmp_path):
    """Until then the earlier one is there; each writer's name is hidden, its own, and sweepable."""
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
        assert all(fnmatch.fnmatch(each.name, ".*.tmp") for each in (first, second))
        assert path.read_text() == "old"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def fail_to_write(path, error):
    """Be interrupted half-way."""
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing(tmp_path, error):
    """The earlier file stays, and the temporary one goes."""
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(type(error)):
        fail_to_write(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
