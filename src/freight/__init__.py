"""A file server: files of any size, to any number of clients, from a fixed amount of memory.

The names in ``__all__`` are the public API. All other modules are private, and may change in any version.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freight.access.sign_url import sign_url
    from freight.config.settings import Settings
    from freight.errors import ConfigurationError, FreightError
    from freight.library.routes import Bytes, Directory, File, Stream
    from freight.library.server import Server, serve

__all__ = [
    "Bytes",
    "ConfigurationError",
    "Directory",
    "File",
    "FreightError",
    "Server",
    "Settings",
    "Stream",
    "__version__",
    "serve",
    "sign_url",
]

__version__ = "0.1.0"

_MODULES = {
    "Bytes": "freight.library.routes",
    "ConfigurationError": "freight.errors",
    "Directory": "freight.library.routes",
    "File": "freight.library.routes",
    "FreightError": "freight.errors",
    "Server": "freight.library.server",
    "Settings": "freight.config.settings",
    "Stream": "freight.library.routes",
    "serve": "freight.library.server",
    "sign_url": "freight.access.sign_url",
}


def __getattr__(name: str) -> Any:
    """Import the public API when it is used (PEP 562): a server, and ``freight --version``, need none of it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return [*__all__]
