"""The log that the settings ask for."""

from __future__ import annotations

import os
import stat

from freight.config.settings import Settings
from freight.memory.budget import Budget
from freight.observe.log import QUEUE_BYTES, Log, Writer, log_format
from freight.sources.file_systems import is_local

LOG_BYTES_MIN = 32 * 1024
"""The least memory of lines that wait to be written, in bytes."""

_LOG_SHARE = 32  # at most 1/32 of the memory is log lines that wait for a slow reader: some lines for each slot


def open_log(target: int | Writer, settings: Settings, budget: Budget) -> Log:
    """Return a log that writes to ``target``; with ``--log-file`` only messages to the operator go there."""
    queue_bytes = max(LOG_BYTES_MIN, budget.memory_bytes // _LOG_SHARE // budget.worker_count)
    queue_bytes, form = min(QUEUE_BYTES, queue_bytes), log_format(settings.log_format)
    if settings.log_file is None:
        return Log(target, form, queue_bytes)
    from freight.observe.log_file import FileLog, Rotation

    rotation = (
        None if settings.log_file_size_bytes is None else Rotation(settings.log_file_size_bytes, settings.log_files)
    )
    return FileLog(target, form, LOG_BYTES_MIN, settings.log_file, rotation, queue_bytes)


def log_may_hang(settings: Settings) -> bool:
    """Return whether the log is a file on a remote file system, so that writing it may never return. May block."""
    if settings.log_file is None:
        return False
    flags = os.O_PATH | os.O_CLOEXEC
    try:
        fd = os.open(settings.log_file, flags)
    except FileNotFoundError:
        fd = os.open(os.path.dirname(os.path.realpath(settings.log_file)), flags)
    try:
        mode = os.fstat(fd).st_mode
        return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and not is_local(fd)
    finally:
        os.close(fd)
