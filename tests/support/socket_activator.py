"""Pass sockets to a command as systemd does (sd_listen_fds(3)), in the process that runs it.

usage: socket_activator.py NAME[:NAME]... FD[,FD]... COMMAND...
"""

import fcntl
import os
import sys

FIRST = 3

names, numbers, *command = sys.argv[1:]
descriptors = [int(number) for number in numbers.split(",")]
above = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST + len(descriptors)) for fd in descriptors]
for at, fd in enumerate(above, FIRST):
    os.dup2(fd, at)
os.environ |= {"LISTEN_FDS": str(len(above)), "LISTEN_PID": str(os.getpid())}
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execvp(command[0], command)
