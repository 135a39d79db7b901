"""A byte changed anywhere is found by verify, and throws no reader; a sample of the thousand."""

import pytest

from tests.faults.corruptions import corruptions


@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_bytes_changed_anywhere(tmp_path, count):
    """Every file of a folder has its turn; see `python -m tests.faults --corruptions 1000`."""
    files = set()
    for path, at, found in corruptions(count, count, tmp_path):
        assert not found, (path, at)
        files.add(path)
    assert {"pairs/manifest.json", "pairs/README.md", "pairs/preview.png"} <= files
    assert {path.rpartition(".")[2] for path in files} >= {"h5", "parquet", "json", "md", "png"}
    assert any(path.startswith("grid/splits/") for path in files)
