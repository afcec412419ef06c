"""Handing over to a successor: this command line, started anew, with the sockets that listen.

The successor is told of them as systemd would tell it (server/inherited.py), and says READY on a stream between the two
when it accepts. Only then does its predecessor stop; that closes one of two descriptors of each listening socket, so
whoever stands in its backlog is the successor's. The end of the stream tells the successor that it is the service now.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping

from freight.errors import Unservable
from freight.server.inherited import FIRST, PREDECESSOR, variables

READY = b"ready\n"

_START_SECONDS = 60.0  # a start takes half a second; this is for a machine in trouble
_END_SECONDS = 5.0
_FIRST_PROCESS = 1
_NOT_STARTED = 127  # a shell's convention: there is no such command


async def hand_over(sockets: Mapping[str, socket.socket]) -> tuple[int, socket.socket]:
    """Start a successor with these sockets; its process, once it accepts, and the stream, to be closed when we do not.

    Raises Unservable when it does not come up. Cancelled, it ends what it has started.
    """
    if os.getpid() == _FIRST_PROCESS:
        raise Unservable("it is process 1 of its container, which ends with it; have a new container take its place")
    ours, process = _begin(sockets)
    try:
        async with asyncio.timeout(_START_SECONDS):
            said = await asyncio.get_running_loop().sock_recv(ours, len(READY))
    except TimeoutError:
        said = b""
    except BaseException:
        ours.close()
        os.kill(process, signal.SIGKILL)
        raise
    if said == READY:
        return process, ours
    ours.close()
    raise Unservable(f"its successor was not ready; {await _wait_ended(process)}")


def announce(predecessor: socket.socket, then: Callable[[], None]) -> None:
    """Tell who hands over to us that we accept. ``then`` is called when it has heard, or has gone."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(predecessor)
        predecessor.close()
        then()

    try:
        predecessor.send(READY)
    except OSError:
        pass  # it has gone meanwhile, which the end of the stream tells
    predecessor.setblocking(False)
    loop.add_reader(predecessor, ended)


def _begin(sockets: Mapping[str, socket.socket]) -> tuple[socket.socket, int]:
    """Our end of the stream, non-blocking, and the new process. Raises Unservable where the system has no more."""
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise Unservable(f"no process could be started: {error.strerror}") from None
    ours.setblocking(False)
    try:
        with theirs:
            return ours, _start({**sockets, PREDECESSOR: theirs})
    except OSError as error:
        ours.close()
        raise Unservable(f"no process could be started: {error.strerror}") from None


def _start(passed: Mapping[str, socket.socket]) -> int:
    """Fork and execute; the new process. By hand, as LISTEN_PID has to be its own, which nobody knows before."""
    descriptors, names = [each.fileno() for each in passed.values()], list(passed)
    above = FIRST + len(names)
    process = os.fork()
    if process:
        return process
    try:
        signal.set_wakeup_fd(-1)  # it is our parent's loop that would be told of our signals
        for at, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in descriptors], FIRST):
            os.dup2(fd, at)
        own = variables(names, os.getpid())
        if "WATCHDOG_PID" in os.environ:
            own["WATCHDOG_PID"] = own["LISTEN_PID"]
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | own)
    finally:
        os._exit(_NOT_STARTED)


async def _wait_ended(process: int) -> str:
    """How a successor that is of no use has ended, or is ended by us."""
    ending = asyncio.get_running_loop().run_in_executor(None, os.waitpid, process, 0)
    done, _ = await asyncio.wait({ending}, timeout=_END_SECONDS)
    if not done:
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode((await ending)[1])
    if status == _NOT_STARTED:
        return f"{sys.executable} could not be started"
    return f"it ended with status {status}" if status >= 0 else f"it was ended by signal {-status}"
