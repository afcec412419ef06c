"""The limits of the downloads inside an application."""

from __future__ import annotations

from dataclasses import dataclass

from freight.errors import ConfigurationError
from freight.http.client_address import Networks
from freight.units import parse_size


@dataclass(frozen=True, slots=True)
class Limits:
    """What the downloads of one process may use together. Equal limits are one budget.

    - ``memory``: bytes, or a text such as "64MiB", that answers in flight may use.
    - ``download_memory``: what one of them counts, which depends on the server: ``docs/reference/embedded.md``.
    - ``queue_size``: how many requests may wait for memory.
    - ``queue_timeout``: how long each may wait, in seconds.
    - ``idle_timeout``: after how many seconds a client that takes nothing is disconnected. Not over WSGI.
    - ``trusted_proxies``: the networks whose Forwarded or X-Forwarded-For names the client.
    - ``pathsend``: let the ASGI server send whole files by itself, where it can. They are outside of the budget then,
      and a change of the file is noticed only if its size changes.

    Raises :class:`~freight.errors.ConfigurationError` for a value that cannot be.
    """

    memory: int | str = "64MiB"
    queue_size: int = 1000
    queue_timeout: float = 30.0
    idle_timeout: float = 60.0
    trusted_proxies: tuple[str, ...] = ()
    pathsend: bool = False
    download_memory: int | str = "128KiB"

    def __post_init__(self) -> None:
        memory_bytes = _size("memory", self.memory)
        download_bytes = _size("download_memory", self.download_memory)
        if memory_bytes < MIN_MEMORY_BYTES:
            raise ConfigurationError("the smallest is 1MiB", "memory")
        if not MIN_DOWNLOAD_BYTES <= download_bytes <= memory_bytes:
            raise ConfigurationError("it is between 64KiB and memory", "download_memory")
        for name, value in (("queue_size", self.queue_size), ("queue_timeout", self.queue_timeout)):
            if not value >= 0:
                raise ConfigurationError("it is not negative", name)
        if not self.idle_timeout > 0:
            raise ConfigurationError("it is more than 0 seconds", "idle_timeout")
        object.__setattr__(self, "memory", memory_bytes)
        object.__setattr__(self, "download_memory", download_bytes)
        object.__setattr__(self, "trusted_proxies", tuple(self.trusted_proxies))
        Networks.parse(self.trusted_proxies)

    @property
    def memory_bytes(self) -> int:
        """The budget in bytes."""
        assert isinstance(self.memory, int)
        return self.memory

    @property
    def download_bytes(self) -> int:
        """What a download counts, in bytes."""
        assert isinstance(self.download_memory, int)
        return self.download_memory


def _size(name: str, value: int | str) -> int:
    try:
        return parse_size(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ConfigurationError(f"{value!r} is not a size: {error}", name) from error


MIN_MEMORY_BYTES = 1024 * 1024
"""The smallest budget: eight downloads."""

MIN_DOWNLOAD_BYTES = 64 * 1024
"""The least that a download counts: one large piece."""
