"""A FUSE file system that hangs when a test wants it to. Needs root and ``/dev/fuse``.

It has the files ``small`` and ``big``, ``unsized``, which states no size, ``hang``, whose content is never sent, and
the directory ``hangdir``, in which no look-up is answered. A process serves it: run this module with the mount point.
It speaks the kernel's protocol itself (fuse(4), linux/fuse.h), so no library is needed. Nothing is cached: each call
asks the process.

A call that hangs is in uninterruptible sleep, as the kernel has passed it on: nothing but an answer, or the end of the
process, ends it. The end of the process leaves a dead mount point, where each call fails with ENOTCONN.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import processes

SMALL = b"hello"
BIG_BYTES = 8 << 20
_NODES = {1: (b"", -1), 2: (b"big", BIG_BYTES), 3: (b"small", len(SMALL)), 4: (b"hang", 1 << 20), 5: (b"hangdir", -1)}
_NODES[6] = (b"unsized", 0)  # it states no size, and has BIG_BYTES
_BROKEN = b"broken"  # a name whose look-up fails, as on a bad disk
_MODIFIED = int(time.time()) - 100
_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2

# Operations: linux/fuse.h.
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _INIT, _OPENDIR, _READDIR = 1, 2, 3, 14, 15, 17, 26, 27, 28
_UNANSWERED = (_FORGET, 36, 42)  # INTERRUPT, BATCH_FORGET
FAILING = {"look-up": _LOOKUP, "stat": _GETATTR, "open": _OPEN, "read": _READ}
"""The operations that :meth:`HangingFs.fail` knows, by the call that needs them."""
_DONE = (18, 25, 29, 34)  # RELEASE, FLUSH, RELEASEDIR, ACCESS


class HangingFs:
    """The mounted file system, and its process."""

    def __init__(self, target: Path, process: subprocess.Popen[bytes]) -> None:
        self.target = target
        self._process = process

    def hang(self) -> None:
        """Answer no request from now on."""
        self._command(b"h")

    def answer(self) -> None:
        """Answer all requests from now on, and those that wait."""
        self._command(b"a")

    def fail(self, operation: int, number: int) -> None:
        """Answer each of these operations with an error from now on, as a client of NFS does; see FAILING."""
        self._command(bytes((ord("f"), operation, number)))

    def kill(self) -> None:
        """Kill the process: the mount point stays, and is dead."""
        self._process.kill()
        self._process.wait(processes.END_SECONDS)

    def _command(self, words: bytes) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(words)
        self._process.stdin.flush()
        assert self._process.stdout.read(1) == words[:1]


@contextmanager
def hanging_fs(target: Path) -> Iterator[HangingFs]:
    """Mount it at ``target``; unmount it at the end. Skip the test where that is impossible."""
    if os.geteuid() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("a FUSE file system needs root and /dev/fuse")
    words = [sys.executable, "-m", "support.hanging_fs", os.fspath(target)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with processes.running(words, env=processes.environment(), **pipes) as process:
        try:
            assert process.stdout.read(1) == b"m", "not mounted"
            yield HangingFs(target, process)
        finally:
            process.kill()  # first: the end of the process ends all calls that hang
            process.wait(processes.END_SECONDS)
            ctypes.CDLL(None).umount2(os.fsencode(target), _MNT_DETACH)


class _Daemon:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held: list[bytes] | None = []  # requests for what hangs; None: nothing hangs
        self._holds_all = False
        self._failing: tuple[int, int] | None = None  # an operation, and its error

    def serve(self) -> None:
        watch = select.poll()
        watch.register(self._fd, select.POLLIN)
        watch.register(0, select.POLLIN)
        while True:
            for fd, _ in watch.poll():
                if fd == self._fd:
                    self._receive()
                elif not self._command(os.read(0, 1)):
                    return

    def _command(self, letter: bytes) -> bool:
        if letter == b"f":
            operation, number = os.read(0, 2)
            self._failing = operation, number
            os.write(1, letter)
            return True
        held, self._held, self._holds_all = self._held or [], [] if letter == b"h" else None, letter == b"h"
        if letter == b"a":
            for message in held:
                self._answer(message)
        else:
            self._held = held
        os.write(1, letter)
        return bool(letter)

    def _receive(self) -> None:
        try:
            message = os.read(self._fd, 1 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                os._exit(0)
            return
        operation, node = struct.unpack_from("<4xI8xQ", message)
        hangs = self._holds_all or (operation, node) in ((_LOOKUP, 5), (_READ, 4))
        if operation in _UNANSWERED:
            pass
        elif hangs and self._held is not None:
            self._held.append(message)
        else:
            self._answer(message)

    def _answer(self, message: bytes) -> None:
        operation, unique, node = struct.unpack_from("<4xIQQ", message)
        body = message[40:]
        try:
            if self._failing is not None and self._failing[0] == operation and (node, operation) != (1, _GETATTR):
                raise OSError(self._failing[1], "")
            data = self._content(operation, node, body)
        except OSError as error:
            self._reply(unique, b"", error.errno or errno.EIO)
        else:
            self._reply(unique, data)

    def _reply(self, unique: int, data: bytes, error: int = 0) -> None:
        try:
            os.write(self._fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
        except OSError as failure:  # the caller was killed meanwhile
            if failure.errno not in (errno.ENOENT, errno.EINVAL):
                raise

    def _content(self, operation: int, node: int, body: bytes) -> bytes:
        match operation:
            case 26:  # INIT; FUSE_ASYNC_READ is the first flag
                flags = struct.unpack_from("<3I", body, 4)[1] & 1
                return struct.pack("<4I2H2I2H8I", 7, 31, 131072, flags, 12, 9, 131072, 1, 0, 0, *([0] * 8))[:64]
            case 1:  # LOOKUP
                if body == _BROKEN + b"\0":
                    raise OSError(errno.EIO, "")
                found = [each for each, (name, _) in _NODES.items() if name == body.rstrip(b"\0")]
                if not found or node != 1:
                    raise OSError(errno.ENOENT, "")
                return struct.pack("<QQQQII", found[0], 0, 0, 0, 0, 0) + _attributes(found[0])
            case 3:  # GETATTR
                return struct.pack("<QII", 0, 0, 0) + _attributes(node)
            case 14 | 27:  # OPEN, OPENDIR; FOPEN_DIRECT_IO, or the kernel would read no more than the stated size
                return struct.pack("<QIi", 0, int(node == 6), 0)
            case 15:  # READ
                _, offset, size = struct.unpack_from("<QQI", body)
                data = SMALL if node == 3 else bytes(BIG_BYTES if node == 6 else _NODES[node][1])
                return data[offset : offset + size]
            case 28:  # READDIR
                return _entries(node, *struct.unpack_from("<8xQI", body))
            case 16:  # WRITE; what is written is dropped
                return struct.pack("<II", struct.unpack_from("<16xI", body)[0], 0)
            case 17:  # STATFS
                return struct.pack("<5Q4I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
            case operation if operation in _DONE:
                return b""
            case _:
                raise OSError(errno.ENOSYS, "")


def _attributes(node: int) -> bytes:
    size = _NODES[node][1]
    mode = 0o40755 if size < 0 else 0o100644
    times = (_MODIFIED, _MODIFIED, _MODIFIED)
    return struct.pack("<6Q10I", node, max(0, size), 0, *times, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _entries(node: int, offset: int, size: int) -> bytes:
    found = b""
    for number, (each, (name, length)) in enumerate(_NODES.items()):
        if node == 1 and each != 1 and number >= offset:
            entry = struct.pack("<QQII", each, number + 1, len(name), 4 if length < 0 else 8) + name
            found += entry + bytes(-len(entry) % 8)
    return found[:size]


def _main() -> None:
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    daemon = _Daemon(fd)
    threading.Thread(target=daemon.serve, daemon=False).start()
    if libc.mount(b"hanging", os.fsencode(sys.argv[1]), b"fuse", _MS_NOSUID | _MS_NODEV, options):
        os._exit(1)
    os.write(1, b"m")


if __name__ == "__main__":
    _main()
