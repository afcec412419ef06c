"""Run a program in a sandbox that refuses system calls, by a filter of seccomp(2): a real fault, without a tracer.

usage: refusals.py CALL=ERRNO... -- PROGRAM ARGUMENT...

A CALL is a key of ``CALLS``. The filter is inherited by everything that the program starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import NamedTuple

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2  # prctl(2)
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K: linux/bpf_common.h
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000  # SECCOMP_RET_*
_NUMBER_AT, _ARGUMENTS_AT = 0, 16  # in struct seccomp_data; arguments are 64 bits, of which the low half is compared


class Call(NamedTuple):
    """A system call's numbers on x86-64 and on arm64, and what its arguments must be to be refused."""

    x86_64: int
    aarch64: int
    arguments: tuple[tuple[int, int], ...] = ()


CALLS = {
    "accept4": Call(288, 242),
    "sendfile": Call(40, 71),
    "posix_fadvise": Call(221, 223),
    "preadv2": Call(327, 286),
    "openat2": Call(437, 437),
    "madvise": Call(28, 233),
    "SO_MEMINFO": Call(55, 209, ((1, 1), (2, 55))),
    "TCP_INFO": Call(55, 209, ((1, 6), (2, 11))),
    "SIOCOUTQ": Call(16, 29, ((1, 0x5411),)),
    "SO_BUF_LOCK": Call(54, 208, ((1, 1), (2, 72))),
}


def _instruction(code: int, value: int, when_unequal: int = 0) -> bytes:
    return struct.pack("=HBBI", code, 0, when_unequal, value)


def _program(refusals: dict[str, int]) -> bytes:
    """Return a BPF program: for each call, its tests, each of which skips to the next call, and its error."""
    program = b""
    for name, number in refusals.items():
        call = CALLS[name]
        tests = [(_NUMBER_AT, getattr(call, platform.machine()))]
        tests += [(_ARGUMENTS_AT + 8 * index, value) for index, value in call.arguments]
        for left, (at, value) in zip(range(len(tests), 0, -1), tests, strict=True):
            program += _instruction(_LOAD, at) + _instruction(_EQUAL, value, when_unequal=2 * left - 1)
        program += _instruction(_RETURN, _ERROR | number)
    return program + _instruction(_RETURN, _ALLOW)


def refuse(refusals: dict[str, int]) -> None:
    """Make these calls fail with these errors from now on, in this process and its descendants."""
    program = _program(refusals)
    buffer = ctypes.create_string_buffer(program)
    sock_fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(_PR_SET_SECCOMP, _MODE_FILTER, sock_fprog, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(2)")


def sandbox(**refusals: int) -> tuple[str, ...]:
    """Return the words before a command that run it with these calls refused."""
    return (sys.executable, __file__, *(f"{name}={number}" for name, number in refusals.items()), "--")


if __name__ == "__main__":
    stop = sys.argv.index("--")
    refuse({name: int(number) for name, number in (each.split("=") for each in sys.argv[1:stop])})
    try:
        os.execvp(sys.argv[stop + 1], sys.argv[stop + 1 :])
    except OSError as error:
        sys.exit(f"{sys.argv[stop + 1]}: {errno.errorcode[error.errno or 0]}")
