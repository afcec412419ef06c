"""The public names: complete, documented, and cheap to import."""

from __future__ import annotations

import sys

import pytest

import freight
from support.processes import environment, run


def loaded(script: str) -> set[str]:
    """Return the modules that are loaded after a script."""
    done = run(sys.executable, "-c", f"{script}\nimport sys; print(*sys.modules)", env=environment())
    assert done.stderr == ""
    return set(done.stdout.split())


def test_every_public_name_exists_and_has_a_docstring() -> None:
    for name in freight.__all__:
        assert getattr(freight, name)
        assert name == "__version__" or getattr(freight, name).__doc__
    assert dir(freight) == freight.__all__
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        freight.other  # noqa: B018


def test_importing_freight_loads_nothing_and_no_name_loads_the_command_line() -> None:
    assert not [name for name in loaded("import freight") if name.startswith("freight.") or name == "asyncio"]
    every = loaded("from freight import *")
    assert not {"click", "rich", "h2", "prometheus_client", "freight.app", "freight.workers"} & every
    assert "asyncio" not in loaded("from freight import ConfigurationError, Settings")
