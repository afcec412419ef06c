"""The project's other files: decisions are listed, placeholders can be replaced, workflows run scripts that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.processes import run
from test_docs import broken_links

ROOT = Path(__file__).resolve().parent.parent
NOTES = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = [ROOT / f"{name}.md" for name in ("SECURITY", "CODE_OF_CONDUCT", "RELEASING")]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROSE = ROOT / "scripts" / "prose"
PLACEHOLDER = re.compile(r"https://(?:docs\.)?example\.org/freight|\b(?:security|conduct)@example\.org")


def listed() -> dict[str, tuple[str, str]]:
    """Return the rows of the index of decisions: by number, the title and the status."""
    text = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:\[(\d+)\]\((\S+)\)|(\d+)) \| (.*?) ?\| (.+) \|$", text, re.MULTILINE)
    return {one or other: (title, status) for one, _, other, title, status in rows}


def tracked() -> Iterator[Path]:
    """Yield the tracked files. Skip the test outside a checkout of git."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip("not a checkout of git")
    for name in filter(None, done.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            yield ROOT / name


def test_the_index_has_each_decision_with_its_title_and_each_number_that_is_not_used() -> None:
    index = listed()
    numbers = [int(number) for number in index]
    assert numbers == list(range(1, numbers[-1] + 1))
    notes = {note.name[:3]: note.read_text(encoding="utf-8").split("\n", 1)[0].partition(": ")[2] for note in NOTES}
    assert {number: title for number, (title, _) in index.items() if title} == notes
    assert {status for title, status in index.values() if not title} == {"not used"}


def test_a_decision_that_another_has_replaced_or_changed_says_which() -> None:
    for number, (_, status) in listed().items():
        (note, *_) = [path for path in NOTES if path.name.startswith(number)] or [None]
        if status.startswith("superseded by ["):
            assert note is not None and "Superseded by [" in note.read_text(encoding="utf-8")
        else:
            assert status == "not used" or status.startswith("accepted"), number
            assert note is None or "Superseded by" not in note.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_about_the_project_has_no_broken_link(page: Path) -> None:
    assert broken_links(page) == []


def test_the_placeholders_are_replaced_by_the_command_that_releasing_has(tmp_path: Path) -> None:
    """Run the command in a copy of the project. Only the tests and RELEASING.md may keep placeholders."""
    for path in tracked():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True, timeout=60)
    subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True, timeout=60)
    text = (ROOT / "RELEASING.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ +\$ (git grep (?:.*\\\n)*.*)$", text, re.MULTILINE)
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, timeout=60)
    kept = {"RELEASING.md", "tests"}
    left = [
        path.relative_to(tmp_path)
        for path in tmp_path.rglob("*")
        if path.is_file() and path.relative_to(tmp_path).parts[0] not in kept | {".git"}
        if PLACEHOLDER.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert left == []
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert urls["Source"] == "https://github.com/OWNER/freight"
    assert urls["Documentation"] == "https://OWNER.github.io/freight"
    assert "<security@YOUR.DOMAIN>" in (tmp_path / "SECURITY.md").read_text(encoding="utf-8")


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_scripts_that_exist_with_the_least_permissions(workflow: Path) -> None:
    read = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert read["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in read["jobs"].values())
    scripts = [word for step in steps(workflow) for word in shlex.split(step.get("run", "")) if word.startswith("./")]
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_the_workflows_together_check_test_and_publish() -> None:
    commands = [" ".join(step.get("run", "").split()) for workflow in WORKFLOWS for step in steps(workflow)]
    for needed in (
        "./scripts/check",
        "./scripts/test",
        "./scripts/test --all",
        "./scripts/test --nightly",
        "./scripts/docs",
    ):
        assert needed in commands
    actions = [step["uses"] for workflow in WORKFLOWS for step in steps(workflow) if "uses" in step]
    assert any(action.startswith("pypa/gh-action-pypi-publish@") for action in actions)
    assert not any(
        "password" in str(step) or "token" in str(step.get("with"))
        for workflow in WORKFLOWS
        for step in steps(workflow)
    )


def test_a_release_is_refused_while_there_are_placeholders() -> None:
    (release,) = (path for path in WORKFLOWS if path.stem == "release")
    (command,) = (step["run"] for step in steps(release) if "example" in step.get("run", ""))
    refused = run("bash", "-ec", command, cwd=ROOT)
    assert refused.returncode != 0 and "pyproject.toml:" in refused.stdout


def test_pre_commit_runs_the_tools_of_the_checks() -> None:
    text = (ROOT / "scripts" / "check").read_text(encoding="utf-8")
    checks = {" ".join(line.split()[1:3]) for line in text.splitlines() if line.startswith("run ")}
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repository in configuration["repos"] for hook in repository["hooks"]]
    words = [entry.split() for entry in entries if entry.startswith(".venv/bin/")]
    assert {check.split()[0] for check in checks} == {line[0].removeprefix(".venv/bin/") for line in words}
    assert {"ruff format", "ruff check"} <= {" ".join(line[:2]).removeprefix(".venv/bin/") for line in words}


def test_the_form_of_a_bug_has_the_fields_that_are_needed_to_find_it() -> None:
    (bug,) = (path for path in FORMS if path.stem == "bug")
    needed = {field["id"] for field in yaml.safe_load(bug.read_text(encoding="utf-8"))["body"] if "id" in field}
    assert {"version", "command", "kernel", "settings"} <= needed
    assert "freight settings --json" in bug.read_text(encoding="utf-8")


def test_the_package_and_the_pages_keep_to_the_rules_of_wording() -> None:
    done = run(sys.executable, PROSE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_wording_that_is_ruled_out_is_found_with_its_line_and_what_to_write_instead(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "A client that waits holds nothing. Who waits?\n"
        "Who waits holds nothing.\n"
        "It is reckoned anew for who\n"
        "asks, of\n"
        "late (who stands still).\n"
        "Everybody who asks and a client, who waits; `let_go` and `getrusage(who) for who in whom`\n"
    )
    done = run(sys.executable, PROSE, page)
    assert done.returncode == 1
    found = [line.removeprefix(f"{page}:").split(": ", 2) for line in done.stdout.splitlines()]
    assert [(line, phrase) for line, phrase, _ in found] == [
        ("2", "Who"),
        ("3", "anew"),
        ("3", "for who"),
        ("3", "reckoned"),
        ("4", "of late"),
        ("5", "stands still"),
        ("5", "who"),
    ]
    assert all(advice for _, _, advice in found)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("vendor.github-issue-forms", [path for path in FORMS if path.stem != "config"]),
        ("vendor.github-issue-config", [path for path in FORMS if path.stem == "config"]),
    ],
)
def test_github_takes_its_files(schema: str, files: list[Path], tmp_path: Path) -> None:
    assert files
    subprocess.run([ROOT / "scripts" / "setup", "tools"], check=True, timeout=240, capture_output=True)
    check = [ROOT / ".venv-tools" / "bin" / "check-jsonschema", "--builtin-schema", schema]
    good = run(*check, *files)
    assert good.returncode == 0, good.stdout
    (tmp_path / "wrong.yml").write_text("jobs: 1\nbody: 2\nversion: 3\ncontact_links: 4\n")
    wrong = subprocess.run([*check, tmp_path / "wrong.yml"], capture_output=True, timeout=60, check=False)
    assert wrong.returncode == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pre_commit_takes_its_file() -> None:
    subprocess.run([ROOT / "scripts" / "setup", "tools"], check=True, timeout=240, capture_output=True)
    command = [ROOT / ".venv-tools" / "bin" / "pre-commit", "validate-config"]
    done = run(*command, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
