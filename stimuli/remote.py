"""Folders at URLs, over fsspec: files are read, written, listed and removed; errors are a line.

Any protocol that fsspec knows will do: s3://, gs://, https:// (for reading), memory://, file://.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samediff_stimuli.recipe import InputError, in_a_line
from samediff_stimuli.replacing import replacing

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_LOCAL = ("file", "local")
_READ_ONLY = ("http", "https")
_FLAT = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hf", *_READ_ONLY)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs"}
_DRIVERS |= {"abfs": "adlfs", "abfss": "adlfs", "http": "aiohttp", "https": "aiohttp"}


def is_url(place: object) -> bool:
    """Whether a place is a URL, e.g. "s3://bucket/name", and not a path of this machine."""
    return isinstance(place, str) and "://" in place


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A file at a URL: its size in bytes, and its MD5 in hex if the store tells."""

    n_bytes: int | None
    md5: str | None


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder at a URL; paths are POSIX, relative to it. Threads may share it.

    Every method raises FileNotFoundError for a file that is not there, and InputError, one line,
    if the store cannot be reached or refuses.

    Attributes:
        url: of the folder, without a slash at its end.
        fs: fsspec's file system.
        root: the folder there.
    """

    url: str
    fs: Any
    root: str

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written by this protocol."""
        return self._protocol in _READ_ONLY

    @property
    def _protocol(self) -> str:
        return protocol_of(self.url)

    def get(self, path: str, target: Path, most: int) -> None:
        """Fetch a file under a temporary name beside `target`, then rename it.

        Args:
            path: the file.
            target: where it goes; its folder exists.
            most: bytes that it may have.

        Raises:
            OversizeError: if it has more; nothing is left.
            OSError: if it cannot be written there, or this machine's disk is full.
        """
        with replacing(target) as temporary:
            temporary.touch()  # what keeps it from being written is no fault of the store's
            temporary.unlink()
            with _told(self.url):
                self.fs.get_file(self._at(path), str(temporary), callback=_limit(path, most))
            if not temporary.is_file():
                with contextlib.suppress(FileNotFoundError):
                    temporary.rmdir()  # some drivers make one
                raise FileNotFoundError(f"{self.url}/{path} is a folder")

    def read(self, path: str) -> bytes:
        """The bytes of a small file."""
        with _told(self.url):
            return bytes(self.fs.cat_file(self._at(path)))

    def put(self, source: Path, path: str) -> None:
        """Send a file; it replaces what is there."""
        with _told(self.url):
            self._make_folder_of(path)
            self.fs.put_file(str(source), self._at(path))

    def write(self, path: str, data: bytes) -> None:
        """Send a few bytes as a file; it replaces what is there."""
        with _told(self.url):
            self._make_folder_of(path)
            self.fs.pipe_file(self._at(path), data)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files; those that are not there do not matter."""
        for path in paths:
            with _told(self.url), contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self._at(path))

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder; where folders are but parts of names, there is none."""
        if self._protocol not in _FLAT:
            with contextlib.suppress(OSError):
                self.fs.rmdir(self._at(path))

    def listed(self) -> dict[str, Listed]:
        """Every file of the folder, at any depth, by path; "" if the folder is itself a file."""
        with _told(self.url):
            self.fs.invalidate_cache()
            try:
                found: Mapping[str, Any] = self.fs.find(self.root, detail=True)
            except FileNotFoundError:
                return {}
        start = self.root.strip("/")
        return {
            name.strip("/").removeprefix(start).lstrip("/"): Listed(
                n_bytes=about.get("size"), md5=_md5(about)
            )
            for name, about in found.items()
            if about.get("type") != "directory"
        }

    def _at(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}"

    def _make_folder_of(self, path: str) -> None:
        """Make a file's folder, where there are such; elsewhere this could make a bucket."""
        if self._protocol not in _FLAT:
            self.fs.makedirs(self._at(path).rpartition("/")[0], exist_ok=True)


def protocol_of(url: str) -> str:
    """The protocol of a URL, e.g. "s3"."""
    found = _URL.match(url)
    return found[0].lower() if found else ""


def store(url: str, options: Mapping[str, Any] | None = None) -> Store:
    """A folder at a URL; no network is asked.

    Args:
        url: e.g. "s3://bucket/name".
        options: of fsspec's file system: credentials, an endpoint, ...

    Raises:
        InputError: no URL, a protocol that fsspec does not know, or a driver that is missing.
    """
    import fsspec

    protocol = protocol_of(url)
    if not protocol:
        raise InputError(f"{url!r} is no URL; legal: PROTOCOL://PLACE, e.g. s3://bucket/name")
    known = fsspec.available_protocols()
    if protocol not in known:
        few = "s3, gs, abfs, https, sftp, memory, file"
        raise InputError(f"unknown protocol {protocol!r} of {url}; known: {few} and more of fsspec")
    try:
        fs, root = fsspec.url_to_fs(url, **(options or {}))
    except ImportError as error:
        package = _DRIVERS.get(protocol)
        hint = f"pip install {package}" if package else in_a_line(error)
        raise InputError(f"the driver of {protocol}:// is missing: {hint}") from error
    except Exception as error:  # each driver has its own
        raise InputError(f"{url} cannot be opened: {in_a_line(error)}") from error
    if not str(root).strip("/"):
        raise InputError(f"{url!r} names no folder; give PROTOCOL://PLACE, e.g. s3://bucket/name")
    return Store(url=url.rstrip("/"), fs=fs, root=str(root))


class UnreachableError(InputError):
    """A store does not answer, or refuses."""


class OversizeError(Exception):
    """A file has more bytes than it may have."""


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what drivers raise into one line, but that a file is not there, or a disk full."""
    try:
        yield
    except (FileNotFoundError, InputError, OversizeError):
        raise
    except (PermissionError, NotImplementedError) as error:
        raise UnreachableError(f"{url} refuses: {in_a_line(error)}") from error
    except Exception as error:  # drivers have no common error
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        reason = in_a_line(error)
        raise UnreachableError(f"{url} cannot be reached: {reason}; check the network") from error


def _limit(path: str, most: int) -> Any:
    """What fsspec tells of a transfer; it stops one of too many bytes."""
    from fsspec.callbacks import Callback

    class Limit(Callback):  # type: ignore[misc, unused-ignore]
        """Stops a transfer of more bytes than there should be."""

        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            if self.value > most:
                raise OversizeError(f"{path} has more than {most} bytes")

    return Limit()


def _md5(about: Mapping[str, Any]) -> str | None:
    """The MD5 that a store tells of a file, hex: of S3 its ETag if it is one, of GCS md5Hash."""
    tag = str(about.get("ETag", "")).strip('"')
    if re.fullmatch("[0-9a-f]{32}", tag) and "SSEKMSKeyId" not in about:
        return tag
    with contextlib.suppress(binascii.Error, ValueError):
        return base64.b64decode(about.get("md5Hash") or "", validate=True).hex() or None
    return None


def md5_of(path: Path) -> str:
    """MD5 of a file, hex, as stores tell it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
