"""What a server inherits of signals from the process that starts it: blocked and ignored ones (execve(2))."""

from __future__ import annotations

import signal


def restore() -> None:
    """Let signals reach this server, and the ends of its child processes.

    A blocked SIGTERM would never stop it. With SIGCHLD ignored, the kernel forgets how a child process ended (wait(2)).
    An ignored SIGHUP stays: that is what nohup(1) asks for.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # The default action would end the process. The server, or the supervisor of workers, sets a handler later.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    # Other servers open their logs again, and logrotate's scripts for them are copied. Here it must not end downloads.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
