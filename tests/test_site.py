"""The site has every page of the documentation, builds without warnings, and loads nothing from other hosts."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from support.processes import run

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    """Load scripts/docs.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WHERE = {
    "README.md": "project/readme.md",
    "docs/index.md": "index.md",
    "docs/how-to/https.md": "how-to/https.md",
    "docs/decisions/README.md": "decisions/index.md",
    "docs/figures/dashboard.png": "figures/dashboard.png",
}


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("docs/index.md", "[a](how-to/https.md)", "[a](how-to/https.md)"),
        ("docs/how-to/https.md", "[a](../../README.md#top)", "[a](../project/readme.md#top)"),
        ("README.md", "[a](docs/how-to/https.md#b)", "[a](../how-to/https.md#b)"),
        ("README.md", "![a](docs/figures/dashboard.png)", "![a](../figures/dashboard.png)"),
        (
            "README.md",
            '<img width="9" src="docs/figures/dashboard.png">',
            '<img width="9" src="../figures/dashboard.png">',
        ),
        ("README.md", "[a](docs/decisions/)", "[a](../decisions/index.md)"),
        ("README.md", "[a](LICENSE)", "[a](SOURCE/blob/main/LICENSE)"),
        ("docs/how-to/https.md", "[a](../../examples/)", "[a](SOURCE/tree/main/examples)"),
        ("README.md", "[a](https://example.org/) [b](#c)", "[a](https://example.org/) [b](#c)"),
        (
            "README.md",
            "```text\n[a](none.md)\n```\n[b](LICENSE)",
            "```text\n[a](none.md)\n```\n[b](SOURCE/blob/main/LICENSE)",
        ),
    ],
)
def test_a_link_has_the_same_target_in_the_site(docs: ModuleType, page: str, text: str, expected: str) -> None:
    assert docs.moved(page, text, WHERE) == expected.replace("SOURCE", docs.SOURCE)


def test_a_dead_link_is_an_error_that_names_it(docs: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"^docs/index.md: none.md does not exist$"):
        docs.moved("docs/index.md", "[a](none.md)", WHERE)


def test_every_page_has_its_own_path(docs: ModuleType) -> None:
    places = docs.places()
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages | {"README.md", "CHANGELOG.md", "THREAT_MODEL.md", "benchmarks/README.md"} <= places.keys()
    assert len(set(places.values())) == len(places)
    beside = {path.name for path in ROOT.glob("*.md")}
    assert beside == {name for name in places if "/" not in name}


@dataclass
class Page(HTMLParser):
    """The links, the loaded files, the anchors and the tabs of a built page."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    tabs: list[str] = field(default_factory=list)
    _in_tab: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
            self._in_tab = "md-tabs__link" in given.get("class", "").split()
        elif tag in ("img", "script", "source", "iframe") and "src" in given:
            self.loaded.append(given["src"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        self._in_tab = self._in_tab and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._in_tab and data.strip():
            self.tabs.append(data.strip())


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def dead(pages: dict[Path, Page], here: Path) -> Iterator[str]:
    """Yield the links and loaded files of a page that are not in the site."""
    for link in [*pages[here].links, *pages[here].loaded]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file() or (parts.fragment and target in pages and parts.fragment not in pages[target].anchors):
            yield f"{here.relative_to(SITE)}: {link}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_is_complete_and_a_page_with_a_dead_anchor_is_refused(docs: ModuleType, tmp_path: Path) -> None:
    """One test, because all of it uses one folder of the checkout."""
    # The installation of the tools may print warnings.
    subprocess.run([ROOT / "scripts" / "setup", "tools"], capture_output=True, timeout=500, check=True)
    script = [ROOT / "scripts" / "docs"]
    built = run(*script, seconds=500)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "warning" not in (built.stdout + built.stderr).lower()

    pages = {path: read(path) for path in SITE.rglob("*.html") if path.name != "404.html"}
    expected = {place.replace(".md", ".html") for place in docs.places().values() if place.endswith(".md")}
    assert {path.relative_to(SITE).as_posix() for path in pages} == expected
    assert [link for path in pages for link in dead(pages, path)] == []
    assert pages[SITE / "index.html"].tabs == [
        *("Home", "Tutorial", "How-to guides", "Reference", "Explanation", "Project")
    ]
    loaded = {address for page in pages.values() for address in page.loaded}
    assert loaded and [address for address in loaded if urlsplit(address).scheme or address.startswith("//")] == []
    assert "--idle-timeout" in (SITE / "search.json").read_text(encoding="utf-8")
    settings = pages[SITE / "reference" / "settings.html"]
    assert {"--memory", "--queue-timeout"} <= settings.anchors  # as they are named where the page is read as Markdown

    for name in ("mkdocs.yml", ".site.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / ".site", tmp_path / ".site")
    with (tmp_path / ".site" / "how-to" / "https.md").open("a") as page:
        page.write("\n[dead](../reference/settings.md#--no-such-option)\n")
    zensical = ROOT / ".venv-tools" / "bin" / "zensical"
    command = [zensical, "build", "--clean", "--strict", "--config-file", ".site.yml"]
    refused = run(*command, seconds=300, cwd=tmp_path)
    assert refused.returncode != 0
    assert "anchor does not exist" in refused.stdout + refused.stderr
