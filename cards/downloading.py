"""Published archives come from their mirrors: resumed after a cut, checked, renamed at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from samediff_stimuli import locks
from samediff_stimuli.factors.archives import OnBytes, Published, md5_of
from samediff_stimuli.recipe import InputError, in_a_line

TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 18  # bytes; a cut loses no more
_CUTS = 20  # connections to a mirror, each of which must bring the file further
_AGENT = "samediff-stimuli"
_PLACE = (errno.EEXIST, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR)


class _MirrorError(Exception):
    """Why a mirror did not give the file, in short."""


class _CutError(_MirrorError):
    """The connection ended early; what came is kept."""


def download(
    published: Published,
    out: Path,
    on_bytes: OnBytes = lambda n: None,
    urls: Sequence[str] | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Download an archive, unless it is there; go on from its `.part` file if there is one.

    Args:
        published: the archive.
        out: a folder, made if needed, or a file name, which ends as the archive's does.
        on_bytes: told how many bytes have come: first those of the part file, then each block's;
            a negative number if some were thrown away.
        urls: mirrors in order, in place of the archive's own; http or https.
        timeout: seconds to wait for a mirror's next bytes.

    Returns:
        The file; its size, if known, and its MD5 are right.

    Raises:
        InputError: if no mirror gave it, another file is in its place, or another process is
            downloading it.
        OSError: if the disk is full; the part file stays.
    """
    target = _target(published, out)
    if target.exists():
        if reason := _wrong(target, published):
            raise InputError(
                f"--out {target} is there and {reason}; remove it, or give another place"
            )
        return target
    with locks.held(target.with_name(f".{target.name}.lock"), str(target)):
        if not target.exists():  # another process may have brought it since
            urls = published.urls if urls is None else urls
            _from_mirrors(urls, target, published, on_bytes, timeout)
    return target


def _from_mirrors(
    urls: Sequence[str], target: Path, published: Published, on_bytes: OnBytes, timeout: float
) -> None:
    """Bring the file from the first mirror that gives it.

    Raises:
        InputError: if no mirror does.
    """
    part = target.with_name(f"{target.name}.part")
    on_bytes(_size(part))
    reasons = []
    for url in urls:
        try:
            _from_mirror(url, part, published, on_bytes, timeout)
        except _MirrorError as error:
            reasons.append(f"{_host(url)}: {in_a_line(error)}")
        else:
            os.replace(part, target)
            return
    kept = f" ({_size(part)} bytes are kept in {part})" if part.exists() else ""
    raise InputError(
        f"{published.file} could not be downloaded{kept}: {'; '.join(reasons) or 'no mirror given'}"
        "; try again later, or download it by hand, then give --archive FILE"
    )


def _host(url: str) -> str:
    """The host of an address, without a user's name and password; never fails."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2] or url


def _target(published: Published, out: Path) -> Path:
    """Where the file is to lie; its folder is made."""
    is_file = out.is_file() or (out.suffix == Path(published.file).suffix and not out.is_dir())
    target = out if is_file else out / published.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in _PLACE:
            raise
        raise InputError(
            f"--out {out} is not possible: {error.strerror}; give a folder or a file name"
        ) from error
    if target.is_dir():
        raise InputError(f"--out {out} is not possible: {target} is a folder; give another place")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out} cannot be written: no permission for {target.parent}")
    return target


def _size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _wrong(path: Path, published: Published) -> str | None:
    """What is wrong with a file, if anything."""
    size = _size(path)
    if published.n_bytes not in (None, size):
        return f"has {size} bytes, not {published.n_bytes}"
    try:
        md5 = md5_of(path)
    except PermissionError as error:
        return f"cannot be read ({error.strerror})"
    return None if md5 == published.md5 else f"has MD5 {md5}, not {published.md5}"


def _drop(part: Path, on_bytes: OnBytes) -> None:
    """Throw away what was downloaded."""
    if size := _size(part):
        on_bytes(-size)
    part.unlink(missing_ok=True)


def _from_mirror(
    url: str, part: Path, published: Published, on_bytes: OnBytes, timeout: float
) -> None:
    """Bring the part file to its end from one mirror, and check it.

    Raises:
        _MirrorError: if that fails; a part file with wrong bytes is gone.
    """
    resumed = _size(part) > 0
    for _ in range(_CUTS):
        before = _size(part)
        try:
            _fetch(url, part, published, on_bytes, timeout)
            break
        except _CutError:
            now = _size(part)
            if now == before or 0 < now < before:  # no bytes at all: it was thrown away, try again
                raise
    else:
        raise _CutError(f"cut off {_CUTS} times")
    if reason := _wrong(part, published):
        _drop(part, on_bytes)
        if not resumed:
            raise _MirrorError(reason)
        _from_mirror(url, part, published, on_bytes, timeout)  # the old bytes may be to blame


def _fetch(url: str, part: Path, published: Published, on_bytes: OnBytes, timeout: float) -> None:
    """Append what a part file lacks, over one connection.

    Raises:
        _MirrorError: if the mirror does not give it.
    """
    have = _size(part)
    if have and have == published.n_bytes:
        return
    with closing(_connect(url, have, timeout)) as response:
        total = _total(response)
        if None not in (total, published.n_bytes) and total != published.n_bytes:
            raise _MirrorError(f"has {total} bytes, not {published.n_bytes}")
        if response.status == 416 and total == have:  # there are no more
            return
        if response.status != 206:
            _drop(part, on_bytes)
        if response.status == 416:
            raise _CutError("does not go on from the part file")
        with part.open("ab") as file:
            for block in _blocks(response):
                file.write(block)
                on_bytes(len(block))
    size = _size(part)
    if total is not None and size < total:
        raise _CutError(f"cut off after {size} of {total} bytes")


def _connect(url: str, have: int, timeout: float) -> Any:
    """The response to a request for all bytes from `have` on; its status is 200, 206 or 416."""
    if not url.startswith(("http://", "https://")):
        raise _MirrorError("is no http or https address")
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code == 416 and have:
            return error
        error.close()
        raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _MirrorError(_short(error)) from error
    problem = _problem(response, have)
    if problem is not None:
        response.close()
        raise _MirrorError(problem)
    return response


def _problem(response: Any, have: int) -> str | None:
    """Why a response is not the bytes that were asked for, if it is not."""
    if response.status not in (200, 206):
        return f"HTTP {response.status} {response.reason}"
    if response.headers.get_content_type() == "text/html":
        return "sent a web page"
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return "sent it encoded"
    span = response.headers.get("Content-Range", "")
    if response.status == 206 and not span.startswith(f"bytes {have}-"):
        return f"sent the wrong range, {span!r}"
    return None


def _total(response: Any) -> int | None:
    """Bytes of the whole file, as a mirror says."""
    whole = response.status == 200
    text = response.headers.get("Content-Length" if whole else "Content-Range", "")
    number = text.rpartition("/")[2].strip()
    return int(number) if number.isdecimal() else None


def _blocks(response: Any) -> Iterator[bytes]:
    """The body of a response.

    Raises:
        _CutError: if the connection breaks.
    """
    while True:
        try:
            block: bytes = response.read(_BLOCK)
        except (OSError, HTTPException) as error:
            raise _CutError(_short(error)) from error
        if not block:
            return
        yield block


def _short(error: Exception) -> str:
    """An error of the network in a few words."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return "timed out"
    return str(getattr(reason, "strerror", None) or reason) or type(reason).__name__
