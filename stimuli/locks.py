"""One writer of a folder at a time: a lock that ends with its holder, here or on another machine.

The kernel locks a file (flock) and lets go when the holder dies, however it dies. File systems that
have no such locks, or do not pass them on to other machines, are covered by what the file says: a
holder counts in it for as long as it lives, so one whose count stands still is dead. Who takes a
lock there looks once more after a beat, for another may have looked at the same moment. No clock
is compared with another, and no time of a file is looked at.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from samediff_stimuli.recipe import InputError

NAME = ".lock"  # in a folder that is being written
BEAT = 2.0  # seconds from one count to the next
PATIENCE = 4  # beats after which a count that stands still is a dead holder's
_SIZE = 512  # bytes of the file, always, so that no reader sees a part of a text
_OWN = ("ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "zfs", "tmpfs", "overlay")
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)  # what flock says of somebody else's lock


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        host: name of its machine.
        boot: what tells this start of the machine from others; "" if the system does not say.
        process: its number there.
        started: what tells it from other processes of that number; "" if the system does not say.
    """

    host: str
    boot: str
    process: int
    started: str


@contextlib.contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, which is made, and removed at the end; so are folders made for it alone.

    Args:
        path: the lock file.
        what: is written meanwhile, for messages, e.g. "--out rmts-p32-seed0".

    Raises:
        InputError: if somebody holds it, or if it cannot be written.
    """
    path = path.absolute()
    absent = [folder for folder in path.parents if not folder.exists()]
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = _taken(path, what)
        except OSError as error:
            raise InputError(f"{what} cannot be written: {error.strerror}") from error
        try:
            with _counting(handle, _is_own(path)):
                yield
        finally:
            with contextlib.suppress(OSError):  # the folder may have vanished
                if _holder(_read(path)) == _this():  # else it was given to another meanwhile
                    path.unlink()  # while it is locked: who has opened it meanwhile sees that
            os.close(handle)
    finally:
        for folder in absent:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()


def sweep(path: Path, what: str) -> None:
    """Remove a lock file that a dead process has left, if there is one; see `held`."""
    if path.exists():
        with contextlib.suppress(InputError), held(path, what):
            pass


def _taken(path: Path, what: str) -> int:
    """The open lock file, locked, with this process as its holder.

    Raises:
        InputError: if somebody holds it.
        OSError: if it cannot be written.
    """
    handle, by_kernel = _locked(path, what)
    try:
        _wait_for_the_dead(path, by_kernel, what)
        _say(handle, 0)
        if not (by_kernel and _is_own(path)):  # the last to write has it
            os.fsync(handle)
            time.sleep(BEAT)
            if _holder(_read(path)) != _this():
                raise _busy(path, what)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _locked(path: Path, what: str) -> tuple[int, bool]:
    """The open lock file, and whether the kernel keeps others away from it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                by_kernel = True
            except OSError as error:
                if error.errno in _TAKEN:
                    raise _busy(path, what) from None
                by_kernel = False  # a file system without such locks
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle, by_kernel
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder has just removed it: once more


def _wait_for_the_dead(path: Path, by_kernel: bool, what: str) -> None:
    """Return once it is sure that the holder that the file names, if any, has died."""
    said = _read(path)
    holder, this = _holder(said), _this()
    if holder is None or (holder.host, holder.boot) == (this.host, this.boot):
        if holder is not None and not by_kernel and _start_of(holder.process) == holder.started:
            raise _busy(path, what)
        return
    logging.getLogger(__name__).info(
        f"{what}: looking for {BEAT * PATIENCE:.0f} s whether process {holder.process} on "
        f"{holder.host!r} is still at work there"
    )
    for _ in range(PATIENCE * 4):
        time.sleep(BEAT / 4)
        if _read(path) != said:
            raise _busy(path, what)


@contextlib.contextmanager
def _counting(handle: int, own: bool) -> Iterator[None]:
    """Count in the lock file, on this machine's own disk or not, from another thread."""
    done = threading.Event()

    def count() -> None:
        number = 0
        while not done.wait(BEAT):
            number += 1
            with contextlib.suppress(OSError):  # a full disk, a folder that has vanished
                _say(handle, number)
                if not own:
                    os.fsync(handle)  # or others would see it much later

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _say(handle: int, count: int) -> None:
    text = json.dumps({**asdict(_this()), "count": count})
    os.pwrite(handle, text.encode().ljust(_SIZE), 0)


def _read(path: Path) -> bytes:
    """What the file says; opened anew, so that what other machines wrote is asked for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.read(handle, _SIZE)
    finally:
        os.close(handle)


def _is_own(path: Path) -> bool:
    """Whether a path lies on a disk that no other machine writes to.

    A system that does not list its file systems as Linux does is taken at the kernel's word.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    kind, depth, real = "", -1, path.resolve()
    for line in mounts.splitlines():  # "... ROOT MOUNTED-AT ... - KIND ..."
        head, _, tail = line.partition(" - ")
        place = Path(head.split()[4].replace(r"\040", " "))
        if len(place.parts) >= depth and real.is_relative_to(place):  # a later one hides others
            kind, depth = tail.split()[0], len(place.parts)
    return kind in _OWN


def _holder(said: bytes) -> Holder | None:
    """Who the file says has it; None if it says nothing."""
    try:
        named = json.loads(said)
        return Holder(
            host=str(named["host"]),
            boot=str(named["boot"]),
            process=int(named["process"]),
            started=str(named["started"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _busy(path: Path, what: str) -> InputError:
    holder = _holder(_read(path))
    who = f"process {holder.process} on {holder.host!r}" if holder else "another process"
    return InputError(
        f"{what} is being written by {who}; wait until that has ended, or give another folder"
    )


def _this() -> Holder:
    """This process."""
    boot = _first_line(Path("/proc/sys/kernel/random/boot_id"))
    process = os.getpid()
    started = _start_of(process) or ""
    return Holder(host=platform.node(), boot=boot, process=process, started=started)


def _start_of(process: int) -> str | None:
    """What tells a process from others of its number; None if there is none of that number."""
    fields = _first_line(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    if fields:
        return fields[19]  # ticks from the machine's start to the process's
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return ""
