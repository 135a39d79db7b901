"""Files where tests put them: folders, and fsspec's memory."""

import fsspec


def files_of(folder):
    """Relative path -> bytes of every file in a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class Memory:
    """A folder in fsspec's memory.

    Args:
        name: its name.
    """

    def __init__(self, name):
        self.url, self._root = f"memory://bucket/{name}", f"/bucket/{name}/"

    def files(self):
        """Relative path -> bytes of every file in it."""
        store = fsspec.filesystem("memory").store
        return {path.removeprefix(self._root): file.getvalue() for path, file in store.items()}

    def put(self, files):
        """Put files, by relative path, into it."""
        for path, data in files.items():
            fsspec.filesystem("memory").pipe_file(self._root + path, data)

    def remove(self, path):
        """Take a file out of it."""
        fsspec.filesystem("memory").rm_file(self._root + path)


def empty(monkeypatch, tmp_path):
    """Empty the memory, and make the package's cache a new folder, which is returned."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    monkeypatch.setenv("SAMEDIFF_STIMULI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
