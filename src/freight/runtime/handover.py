"""Hand-over to a successor: a new process with this command line, which inherits the listening sockets.

The successor inherits the sockets as from systemd (runtime/inherited_sockets.py). It writes READY on a stream between
the two processes when it accepts connections. Only then does its predecessor stop. That closes one of two descriptors
of each listening socket, so connections in the backlog stay for the successor. The end of the stream tells the
successor that it is the service now.

Nothing here waits, so a process without an event loop can hand over too: both sides poll.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
import time

from freight.errors import ConfigurationError
from freight.runtime.inherited_sockets import FIRST, PREDECESSOR, variables
from freight.runtime.listeners import NamedSockets
from freight.runtime.terminal import HANGUP_IGNORED

READY = b"ready\n"

_START_SECONDS = 60.0  # a start takes half a second; an overloaded machine needs longer
_FIRST_PROCESS = 1
_NOT_STARTED = 127  # a shell's convention: there is no such command
_FAILED = b"failed: "  # sent instead of READY when the program cannot be started; the reason follows
_MESSAGE_BYTES = 256
_INSTEAD = "to upgrade, stop this server and start it again"


class Successor:
    """A new process that is to accept connections from ``sockets``. Raises ConfigurationError if none can start."""

    def __init__(self, sockets: NamedSockets) -> None:
        if os.getpid() == _FIRST_PROCESS:
            raise ConfigurationError(
                "it is process 1 of a container, which ends with it; start a new container instead"
            )
        self._stream, self.process = _start_with_stream(sockets)
        self._message = b""
        self._deadline = time.monotonic() + _START_SECONDS

    def is_ready(self) -> bool:
        """Return whether it accepts connections. Kill it after 60 s. Raise ConfigurationError once it has ended."""
        if time.monotonic() > self._deadline:
            os.kill(self.process, signal.SIGKILL)
        ended, status = os.waitpid(self.process, os.WNOHANG)
        try:
            self._message += self._stream.recv(_MESSAGE_BYTES)
        except OSError:
            pass  # it has sent nothing, or has ended
        if ended:
            self.close()
            ending = _exit_reason(os.waitstatus_to_exitcode(status), self._message)
            raise ConfigurationError(f"the new process did not start serving; {ending}")
        return self._message.startswith(READY)

    def kill(self) -> None:
        """End it at once."""
        self.close()
        os.kill(self.process, signal.SIGKILL)

    def close(self) -> None:
        """End the stream: the successor is the service from now on."""
        self._stream.close()


class Predecessor:
    """The process that hands over to this one, at the other end of ``stream``."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        stream.setblocking(False)

    def notify_ready(self) -> None:
        """Tell it that this process accepts connections."""
        try:
            self._stream.send(READY)
        except OSError:
            pass  # it has ended; has_left() finds that out

    def has_left(self) -> bool:
        """Return whether it has ended or closed the stream: this process is the service now."""
        try:
            return not self._stream.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def _start_with_stream(sockets: NamedSockets) -> tuple[socket.socket, int]:
    """Return our non-blocking end of the stream, and the pid of the new process. Raise ConfigurationError."""
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise _start_error(error) from None
    ours.setblocking(False)
    try:
        with theirs:
            return ours, _start([*sockets, (PREDECESSOR, theirs)])
    except OSError as error:
        ours.close()
        raise _start_error(error) from None


def _start_error(error: OSError) -> ConfigurationError:
    match error.errno:
        case errno.EMFILE | errno.ENFILE:
            advice = "raise ulimit -n"
        case errno.EAGAIN | errno.ENOMEM:
            advice = "raise ulimit -u, pids.max of the cgroup, or its memory"
        case _:
            advice = _INSTEAD
    return ConfigurationError(f"no new process could be started: {error.strerror}; {advice}")


def _start(passed: NamedSockets) -> int:
    """Fork and execute. Return the pid of the new process.

    subprocess cannot do it: LISTEN_PID must be the new process's own number, which is known only after the fork.
    """
    descriptors, names = [each.fileno() for _, each in passed], [name for name, _ in passed]
    above = FIRST + len(names)
    process = os.fork()
    if process:
        return process
    stream = descriptors[names.index(PREDECESSOR)]
    try:
        signal.set_wakeup_fd(-1)  # the descriptor is of the parent's loop, which must not see our signals
        if HANGUP_IGNORED:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as this server was started
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a supervisor blocks the signals that it waits for
        for at, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in descriptors], FIRST):
            os.dup2(fd, at)
        stream = FIRST + names.index(PREDECESSOR)
        own = variables(names, os.getpid())
        if "WATCHDOG_PID" in os.environ:
            own["WATCHDOG_PID"] = own["LISTEN_PID"]
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | own)
    except OSError as error:
        os.write(stream, _FAILED + os.strerror(error.errno or 0).encode())
    finally:
        os._exit(_NOT_STARTED)


def _exit_reason(status: int, message: bytes) -> str:
    if message.startswith(_FAILED):
        why = message.removeprefix(_FAILED).decode(errors="replace")
        return f"{sys.executable} could not be started: {why}; {_INSTEAD}"
    return f"it ended with status {status}" if status >= 0 else f"it was ended by signal {-status}"
