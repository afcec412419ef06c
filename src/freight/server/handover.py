"""Handing over to a successor: this command line, started anew, with the sockets that listen.

The successor is told of them as systemd would tell it (server/inherited.py), and says READY on a stream between the two
when it accepts. Only then does its predecessor stop; that closes one of two descriptors of each listening socket, so
whoever stands in its backlog is the successor's. The end of the stream tells the successor that it is the service now.

Nothing here waits, so that who has no loop can hand over too: both sides look now and then.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping

from freight.errors import Unservable
from freight.server.inherited import FIRST, PREDECESSOR, variables

READY = b"ready\n"

_START_SECONDS = 60.0  # a start takes half a second; this is for a machine in trouble
_FIRST_PROCESS = 1
_NOT_STARTED = 127  # a shell's convention: there is no such command
_FAILED = b"failed: "  # what the new process says in place of READY where the program cannot be started, and why
_SAID_BYTES = 256
_INSTEAD = "to upgrade, stop this server and start it again"


class Successor:
    """The process that is to accept from these ``sockets`` in our place. Raises Unservable where there can be none."""

    def __init__(self, sockets: Mapping[str, socket.socket]) -> None:
        if os.getpid() == _FIRST_PROCESS:
            raise Unservable("it is process 1 of a container, which ends with it; start a new container instead")
        self._stream, self.process = _begin(sockets)
        self._said = b""
        self._patient_until = time.monotonic() + _START_SECONDS

    def accepts(self) -> bool:
        """Whether it does by now. Raises Unservable once it has ended, by itself or by us, as it took too long."""
        if time.monotonic() > self._patient_until:
            os.kill(self.process, signal.SIGKILL)
        ended, status = os.waitpid(self.process, os.WNOHANG)
        try:
            self._said += self._stream.recv(_SAID_BYTES)
        except OSError:
            pass  # nothing, or it has ended
        if ended:
            self.close()
            ending = _ending(os.waitstatus_to_exitcode(status), self._said)
            raise Unservable(f"the new process did not start serving; {ending}")
        return self._said.startswith(READY)

    def end(self) -> None:
        """End it: we are to have none."""
        self.close()
        os.kill(self.process, signal.SIGKILL)

    def close(self) -> None:
        """Have it go on without us."""
        self._stream.close()


class Predecessor:
    """Who hands over to us, at the other end of ``stream``."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        stream.setblocking(False)

    def tell(self) -> None:
        """We accept."""
        try:
            self._stream.send(READY)
        except OSError:
            pass  # it has gone meanwhile, which the end of the stream tells

    def has_gone(self) -> bool:
        """Whether it has heard that, and we are the service, or has ended."""
        try:
            return not self._stream.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """It is of no more interest."""
        self._stream.close()


def _begin(sockets: Mapping[str, socket.socket]) -> tuple[socket.socket, int]:
    """Our end of the stream, non-blocking, and the new process. Raises Unservable where the system has no more."""
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise _refused(error) from None
    ours.setblocking(False)
    try:
        with theirs:
            return ours, _start({**sockets, PREDECESSOR: theirs})
    except OSError as error:
        ours.close()
        raise _refused(error) from None


def _refused(error: OSError) -> Unservable:
    match error.errno:
        case errno.EMFILE | errno.ENFILE:
            advice = "raise ulimit -n"
        case errno.EAGAIN | errno.ENOMEM:
            advice = "raise ulimit -u, pids.max of the cgroup, or its memory"
        case _:
            advice = _INSTEAD
    return Unservable(f"no new process could be started: {error.strerror}; {advice}")


def _start(passed: Mapping[str, socket.socket]) -> int:
    """Fork and execute; the new process. By hand, as LISTEN_PID has to be its own, which nobody knows before."""
    descriptors, names = [each.fileno() for each in passed.values()], list(passed)
    above = FIRST + len(names)
    process = os.fork()
    if process:
        return process
    told = passed[PREDECESSOR].fileno()
    try:
        signal.set_wakeup_fd(-1)  # it is our parent's loop that would be told of our signals
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a supervisor waits for those that it blocks
        for at, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in descriptors], FIRST):
            os.dup2(fd, at)
        told = FIRST + names.index(PREDECESSOR)
        own = variables(names, os.getpid())
        if "WATCHDOG_PID" in os.environ:
            own["WATCHDOG_PID"] = own["LISTEN_PID"]
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | own)
    except OSError as error:
        os.write(told, _FAILED + os.strerror(error.errno or 0).encode())
    finally:
        os._exit(_NOT_STARTED)


def _ending(status: int, said: bytes) -> str:
    if said.startswith(_FAILED):
        why = said.removeprefix(_FAILED).decode(errors="replace")
        return f"{sys.executable} could not be started: {why}; {_INSTEAD}"
    return f"it ended with status {status}" if status >= 0 else f"it was ended by signal {-status}"
