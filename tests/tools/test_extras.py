"""The error about a missing library has a command that works for the installer of the running freight."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from freight.errors import ConfigurationError
from freight.tools import extras
from freight.tools.extras import Environment, command, require

ROOT = Path(__file__).resolve().parents[2]


def environment(prefix: Path, *source: str, has_pip: bool = False) -> Environment:
    return Environment(prefix, str(prefix / "bin" / "python"), source or ("freight",), has_pip)


def written(file: Path, text: str = "") -> Path:
    """The directory of a file, which is there afterwards."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return written(tmp_path / "freight" / "scripts" / "setup").parent


def test_in_the_environment_of_a_checkout_it_is_its_setup(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = environment(checkout / ".venv", has_pip=True)
    assert command("matplotlib", here, checkout) == f"{checkout}/scripts/setup all"
    monkeypatch.chdir(checkout)
    assert command("matplotlib", here, checkout) == "./scripts/setup all"


def test_the_setup_installs_all_that_can_be_missing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup = (ROOT / "scripts" / "setup").read_text(encoding="utf-8")
    assert f"all) install --editable '.[{','.join(sorted(project['optional-dependencies']))}]'" in setup


def test_elsewhere_it_is_pip_of_the_running_interpreter(checkout: Path, tmp_path: Path) -> None:
    here = environment(tmp_path / "a place", "--editable", str(checkout), has_pip=True)
    assert command("PyYAML", here, checkout) == f"'{tmp_path}/a place/bin/python' -m pip install PyYAML"


def test_where_there_is_no_pip_it_is_uv(checkout: Path, tmp_path: Path) -> None:
    assert command("PyYAML", environment(tmp_path), checkout) == f"uv pip install --python {tmp_path}/bin/python PyYAML"


def test_a_tool_of_uv_is_installed_once_more_with_all_that_was_added(checkout: Path, tmp_path: Path) -> None:
    rows = '[{ name = "freight", directory = "/src" }, { name = "pyyaml" }, { name = "x", specifier = ">=2" }]'
    tool = written(tmp_path / "tools" / "freight" / "uv-receipt.toml", f"[tool]\nrequirements = {rows}\n")
    assert command("matplotlib", environment(tool, "/src"), checkout) == (
        "uv tool install --with pyyaml --with 'x>=2' --with matplotlib /src"
    )


def test_pipx_injects_and_what_it_runs_once_is_run_with_it(checkout: Path, tmp_path: Path) -> None:
    kept = written(tmp_path / "venvs" / "freight-2" / "pipx_metadata.json")
    assert command("PyYAML", environment(kept), checkout) == "pipx inject freight-2 PyYAML"
    passing = written(tmp_path / ".cache" / "7bfde0" / "pipx_metadata.json")
    said = command("PyYAML", environment(passing, "/src"), checkout)
    assert said == "pipx run --with PyYAML --spec /src freight"


def test_what_uvx_runs_once_is_run_with_it(checkout: Path, tmp_path: Path) -> None:
    said = command("PyYAML", environment(tmp_path / "archive-v0" / "Qc-Wl", "/src"), checkout)
    assert said == "uvx --with PyYAML --from /src freight"


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (None, ("freight",)),
        ('{"url": "file:///src/a%20b", "dir_info": {}}', ("/src/a b",)),
        ('{"url": "file:///src", "dir_info": {"editable": true}}', ("--editable", "/src")),
        ('{"url": "https://example.org/freight.whl", "archive_info": {}}', ("https://example.org/freight.whl",)),
        (
            '{"url": "https://example.org/freight", "vcs_info": {"vcs": "git", "commit_id": "1"}}',
            ("git+https://example.org/freight",),
        ),
    ],
)
def test_freight_is_installed_again_from_its_original_source(
    origin: str | None, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Distribution:
        def read_text(self, name: str) -> str | None:
            return origin if name == "direct_url.json" else None

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Distribution())
    assert extras._source() == words


def test_an_installed_library_is_not_required_again() -> None:
    require("pytest", "a test")


def test_a_library_that_is_missing_is_named_with_its_purpose_and_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigurationError, match=r"^freight fleet envoy needs PyYAML, which is not installed; run: .*"):
        require("PyYAML", "freight fleet envoy", module="yaml")
    with pytest.raises(ConfigurationError, match="needs no-such-library"):
        require("no-such-library", "a test")
