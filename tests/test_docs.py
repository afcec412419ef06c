"""The documentation agrees with the code: settings, links, commands, trees, names of tests, generated blocks."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from freight.cli.main import freight, main
from freight.config.load import resolve
from freight.config.table import SETTINGS
from freight.config.types import Setting, SettingType
from freight.tools.fleet.files import read_fleet_file
from freight.tools.fleet.fleet_options import read_options
from freight.tools.fleet.options import OPTIONS
from support.processes import environment, run

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "freight"
TOP_PAGES = [ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "THREAT_MODEL")]
BENCH_PAGES = [ROOT / "benchmarks" / "README.md", ROOT / "benchmarks" / "STATUS.md"]
PAGES = [*TOP_PAGES, *BENCH_PAGES, *sorted((ROOT / "docs").rglob("*.md"))]
NOTES = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
PATH = re.compile(r"(?:\./)?(?:tests|scripts|src|docs)/.+|(?:\w+/)+\w+\.py")
TREE_LINE = re.compile(r"^( +)([\w./]+(?:\.py|/))")
MARKER = re.compile(r"<!-- (/?)bench:([\w-]+) -->")


FEWEST_WORDS, MOST_WORDS = 700, 900
FREIGHT_IS = "In a clone, type `. .venv/bin/activate` first, so that `freight` is a command"
EXAMPLES_ARE = "`examples/` is a directory of the clone"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the fragments of a page: its headings in lower case, without punctuation, spaces as hyphens."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(prose(page))}


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page to a missing file or a missing heading."""
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    return broken


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every ``freight ...`` command in a page's code blocks, up to a redirection."""
    for _, block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            words = shlex.split(line[2:], comments=True) if line.startswith("$ ") else []
            if words[:1] in (["freight"], ["./scripts/serve"]):
                stop = next((at for at, word in enumerate(words) if re.match(r"\d?[|<>&;]", word)), len(words))
                yield words[1:stop] if words[0] == "freight" else ["serve", *words[1:stop]]
    for unit in re.findall(r"^ExecStart=\S+/freight (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        yield shlex.split(unit)


def parse(words: list[str]) -> None:
    """Let click parse a command line without running it. Raise click.UsageError for a mistake."""
    command: click.Command = freight
    if freight.serves(words) and words[0] != "serve":
        words = ["serve", *words]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    with suppress(click.exceptions.Exit):  # --version, --help
        command.make_context(command.name, words)


def tree(page: Path) -> dict[str, str]:
    """Return the modules in the drawing of ``src/freight/``, each with its description."""
    drawing = next(block for _, block in FENCE.findall(page.read_text(encoding="utf-8")) if "src/freight/\n" in block)
    modules, folder = {}, ""
    for line in drawing.splitlines()[1:]:
        found = TREE_LINE.match(line)
        assert found, line
        indent, name = len(found[1]), found[2]
        folder = "" if indent == 2 else folder
        if name.endswith("/"):
            folder = name
        else:
            modules[folder + name] = line[found.end() :].strip()
    return modules


def seen_words(page: str) -> list[str]:
    """Return the words that a reader of a page sees: no comments, no tags, no marks of headings, lists and tables."""
    page = re.sub(r"<!--.*?-->|</?\w[^>]*>", "", page, flags=re.DOTALL)
    return re.sub(r"^[|:\- ]+$|^(?:#+|-) |\|", " ", page, flags=re.MULTILINE).split()


def test_the_readme_is_a_page_of_700_to_900_words() -> None:
    assert FEWEST_WORDS <= len(seen_words((ROOT / "README.md").read_text(encoding="utf-8"))) <= MOST_WORDS


def test_only_words_that_a_reader_sees_count() -> None:
    page = '# A *b*\n\n<!-- c -->\n<img src="d" alt="e f">\n- g [h i](j)\n\n| k | l |\n|---|--:|\n|m|n|\n'
    assert seen_words(page) == ["A", "*b*", "g", "[h", "i](j)", "k", "l", "m", "n"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "how-to").glob("*.md")), ids=name_of)
def test_a_guide_says_how_freight_becomes_a_command_and_where_the_examples_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    typed = [block for language, block in FENCE.findall(text) if language == "console"]
    calls = any(re.search(r"^\$ (?:\w+=\S+ )*freight ", block, re.MULTILINE) for block in typed)
    assert not calls or FREIGHT_IS in text or ". .venv/bin/activate" in "".join(typed)
    assert not any("examples/" in block for block in typed) or EXAMPLES_ARE in text


def test_no_page_finds_a_server_by_the_name_of_its_process() -> None:
    """A name also matches other users' servers, every worker, and an editor with the name in its arguments."""
    assert [
        name_of(page) for page in PAGES if re.search(r"\b(?:pgrep|pkill)\b", page.read_text(encoding="utf-8"))
    ] == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    named = {
        re.split(r"[^\w-]", each)[0] for each in [*project["dependencies"], *(each for more in extras for each in more)]
    }
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Dependencies\n")[2]
    assert [name for name in named if f"(https://pypi.org/project/{name}/)" not in page] == []


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_heading_with_its_default_its_names_and_its_manual_entry(setting: Setting) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    sections = {section.split("\n", 1)[0]: section for section in page.split("\n## ")[1:]}
    assert setting.option in sections
    section = " ".join(sections[setting.option].split())
    assert setting.help in section
    if setting.kind is SettingType.FLAG:
        assert f"default: {'on' if setting.default == 'true' else 'off'}; " in section
        assert f"`{setting.off_option}` turns it off" in section
    else:
        assert f"default: `{setting.default}`" in section
    live = "live" if setting.live else "needs a restart"
    assert f" `{setting.variable}`, `{setting.name}`; {live}. " in section


def test_the_settings_page_has_no_heading_without_a_setting() -> None:
    titles = HEADING.findall(prose(ROOT / "docs" / "reference" / "settings.md"))
    assert titles == ["Settings", "--config", "--sample", *(setting.option for setting in SETTINGS)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_settings_or_of_a_fleet_in_the_documentation_is_one(page: Path, tmp_path: Path) -> None:
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "toml":
            file = tmp_path / "freight.toml"
            file.write_text(block, encoding="utf-8")
            if "nodes" in tomllib.loads(block):
                read_options(read_fleet_file(str(file)))
            else:
                resolve({}, {}, str(file))


def test_the_page_of_freight_fleet_has_a_row_for_each_option() -> None:
    text = (ROOT / "docs" / "reference" / "fleet.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `-")]
    assert [option.name for option in OPTIONS if not any(f"`{option.option}" in row for row in rows)] == []


def test_the_caddyfile_of_the_documentation_is_what_its_command_writes(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "how-to" / "http3.md"
    (block,) = (block for language, block in FENCE.findall(page.read_text(encoding="utf-8")) if language == "caddyfile")
    (words,) = (words for words in commands(page) if words[0] == "fleet")
    assert main([*words[: words.index("-o")], "--no-check"]) == 0
    assert capsys.readouterr().out == block


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](#a-title) [b](#b) [c](page.md) [d](none.md) [e](https://example.org/)\n")
    assert broken_links(page) == ["#b", "none.md"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_the_documentation_is_one(page: Path) -> None:
    for words in commands(page):
        parse(words)


def test_commands_are_found_and_a_wrong_one_is_an_error(tmp_path: Path) -> None:
    assert len([words for page in PAGES for words in commands(page)]) >= 8
    page = tmp_path / "page.md"
    page.write_text("```console\n$ freight serve . --colour red 2> log\nfreight: serving\n```\n")
    (words,) = commands(page)
    assert words == ["serve", ".", "--colour", "red"]
    with pytest.raises(click.UsageError):
        parse(words)


def test_the_tree_in_the_architecture_is_the_packages() -> None:
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    modules -= {name for name in modules if name.endswith("/__init__.py")}  # the folder's line describes it
    assert set(tree(ROOT / "ARCHITECTURE.md")) == modules


def test_the_tree_marks_the_modules_of_the_contract_of_purity() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (sources,) = (
        each["source_modules"] for each in project["tool"]["importlinter"]["contracts"] if "pure" in each["name"]
    )
    held = {name.removeprefix("freight.").replace(".", "/") + ".py" for name in sources if ".tools." in name}
    marked = {name for name, text in tree(ROOT / "ARCHITECTURE.md").items() if text.startswith("PURE")}
    assert {name for name in marked if name.startswith(("tools/fleet/", "tools/lab/"))} == held


def test_the_rows_of_imports_in_the_architecture_are_those_of_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (each["layers"] for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    section = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## What may import what")[2]
    table = re.findall(r"^\| (`.*?) \|", section.partition("\n## ")[0], re.MULTILINE)
    assert [re.findall(r"`(\w+)`", row) for row in table] == [layer.split(" | ") for layer in layers]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_module_script_and_test_that_is_named_exists(page: Path) -> None:
    """Names in backquotes: ``tests/http/test_ranges.py`` from the root, ``http/ranges.py`` from the package."""
    paths = [quoted for quoted in re.findall(r"`((?:\./)?[\w/.-]+)`", prose(page)) if PATH.fullmatch(quoted)]
    missing = [path for path in paths if not (ROOT / path).exists() and not (PACKAGE / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *BENCH_PAGES], ids=name_of)
def test_every_marker_of_the_benchmarks_is_followed_by_its_end(page: Path) -> None:
    markers = MARKER.findall(page.read_text(encoding="utf-8"))
    assert markers
    assert markers[::2] == [("", name) for _, name in markers[1::2]]
    assert markers[1::2] == [("/", name) for _, name in markers[::2]]
    assert len({name for _, name in markers}) == len(markers) // 2


@pytest.mark.parametrize("note", NOTES, ids=name_of)
def test_a_decision_is_a_question_what_was_measured_and_what_would_change_it_in_40_lines(note: Path) -> None:
    text = note.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert text.startswith(f"# {note.name[:3]}: ")
    assert HEADING.findall(text)[1:] == ["Question", "Measured", "Chosen", "What would change it"]


def test_decisions_are_numbered_each_once() -> None:
    numbers = [int(note.name[:3]) for note in NOTES]
    assert numbers
    assert len(set(numbers)) == len(numbers)


def assert_unchanged_by(script: str, *arguments: Path) -> None:
    """Run a script that writes parts of the pages, with ``--check``."""
    done = run(sys.executable, ROOT / "scripts" / script, *arguments, "--check", env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_figures_and_numbers_of_the_lab_are_those_of_its_results() -> None:
    assert_unchanged_by("pages.py", ROOT / "docs" / "figures" / "lab")


def test_the_figure_and_the_numbers_of_scale_are_those_of_the_model() -> None:
    assert_unchanged_by("scale.py")
    numbers = re.findall(
        r"<!-- fleet:[\w.-]+ -->(.*?)<!-- /fleet -->", prose(ROOT / "docs" / "explanation" / "scale.md")
    )
    assert numbers and not {"?", "not simulated"} & set(numbers)


def test_the_numbers_of_the_memory_budget_are_those_of_the_code() -> None:
    assert_unchanged_by("costs.py")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_number_of_the_memory_budget_has_its_end_and_is_visible_in_markdown(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    numbers = re.findall(r"<!-- budget:[\w.]+ -->(.*?)<!-- /budget -->", text)
    assert len(numbers) == text.count("<!-- budget:") == text.count("<!-- /budget -->")
    assert "unknown" not in numbers
    assert not re.search(r"^ *<!-- budget:|`<!-- budget:", text, re.MULTILINE)  # an HTML block, or code


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "explanation" / "how-it-works.md"], ids=name_of)
def test_every_number_of_the_lab_has_been_measured_and_every_figure_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    numbers = re.findall(r"<!-- lab:[\w.]+ -->(.*?)<!-- /lab -->", text)
    assert len(numbers) == text.count("<!-- lab:") == text.count("<!-- /lab -->") > 0
    assert not {"?", "not measured"} & set(numbers)
    assert not re.search(r"^<!-- lab:|`<!-- lab:", text, re.MULTILINE)  # there Markdown is none
    images = re.findall(r'<img src="([^"]+)"', text)
    assert images
    assert [image for image in images if not (page.parent / image).exists()] == []
