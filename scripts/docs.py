"""Build the documentation site from the Markdown files; see ``scripts/docs`` for the usage.

Pages link to each other, to pictures and to sources by relative paths, so that they can be read in the repository. The
site has other paths: ``docs/`` is its root, and the pages beside the code are in its section *Project*. So each page is
copied with changed links, and links to sources become addresses of the repository. A broken link is an error here;
Zensical checks the anchors.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGE, CONFIGURATION, TOOL = ROOT / ".site", ROOT / ".site.yml", Path(sys.executable).with_name("zensical")
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
SECTIONS = {"tutorial": "Tutorial", "how-to": "How-to guides", "reference": "Reference", "explanation": "Explanation"}
PROJECT = (
    "README",
    "CHANGELOG",
    "ARCHITECTURE",
    "THREAT_MODEL",
    "CONTRIBUTING",
    "SECURITY",
    "CODE_OF_CONDUCT",
    "RELEASING",
)

FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r'(\]\(|\b(?:src|href|srcset)=")(?![a-z]+:|#)([^\s)"]+)')
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def places() -> dict[str, str]:
    """Return the path of each file in the site: ``docs/how-to/https.md`` is ``how-to/https.md``."""
    found = {}
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            name = path.relative_to(ROOT).as_posix()
            found[name] = name.removeprefix("docs/").replace("README.md", "index.md")
    for path in [ROOT / f"{name}.md" for name in PROJECT] + sorted((ROOT / "benchmarks").glob("*.md")):
        name = path.relative_to(ROOT).as_posix()
        if path.is_file():
            found[name] = "project/" + name.replace("/README", "").replace("/", "-").replace("_", "-").lower()
    if "docs/index.md" not in found:
        found["README.md"] = "index.md"
    return found


def moved(name: str, text: str, where: dict[str, str]) -> str:
    """Return a page with the links of the site. Raises ValueError if a link is broken."""

    def change(match: re.Match[str]) -> str:
        path, mark, fragment = match[2].partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        index = f"{target}/README.md"
        target = index if index in where else target
        if target in where:
            path = posixpath.relpath(where[target], posixpath.dirname(where[name]) or ".")
        elif (ROOT / target).exists():
            path = f"{SOURCE}/{'tree' if (ROOT / target).is_dir() else 'blob'}/main/{target}"
        else:
            raise ValueError(f"{name}: {match[2]} does not exist")
        return f"{match[1]}{path}{mark}{fragment}"

    kept = [match.span() for match in FENCE.finditer(text)]
    pieces, at = [], 0
    for start, stop in [*kept, (len(text), len(text))]:
        pieces += [LINK.sub(change, text[at:start]), text[start:stop]]
        at = stop
    return "".join(pieces)


def stage(where: dict[str, str]) -> None:
    """Write new and changed files into the stage, and remove files without a source."""
    for name, place in where.items():
        source, target = ROOT / name, STAGE / place
        content = source.read_bytes()
        if source.suffix == ".md":
            content = moved(name, content.decode(), where).encode()
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for path in STAGE.rglob("*"):
        if path.is_file() and path.relative_to(STAGE).as_posix() not in where.values():
            path.unlink()
    text = f"INHERIT: mkdocs.yml\nnav: {json.dumps(nav(set(where.values())))}\n"
    if not CONFIGURATION.is_file() or CONFIGURATION.read_text(encoding="utf-8") != text:
        CONFIGURATION.write_text(text, encoding="utf-8")


def nav(pages: set[str]) -> list[object]:
    """Return the pages of each section: those that the index links, in its order, then the others by title."""
    index = (STAGE / "index.md").read_text(encoding="utf-8")
    named = [path for _, path in LINK.findall(index)]

    def order(page: str) -> tuple[int, str]:
        return named.index(page) if page in named else len(named), title(page).lower()

    sections = {label: [page for page in pages if page.startswith(f"{folder}/")] for folder, label in SECTIONS.items()}
    sections["Reference"] += [page for page in pages if "/" not in page and page != "index.md"]
    items: list[object] = [{"Home": "index.md"}]
    for label, members in sections.items():
        items.append({label: [{title(page): page} for page in sorted(members, key=order) if page.endswith(".md")]})
    project: list[object] = [{title(page): page} for page in places().values() if page.startswith("project/")]
    notes = sorted(page for page in pages if page.startswith("decisions/") and page != "decisions/index.md")
    project.append({"Decisions": ["decisions/index.md", *({title(page): page} for page in notes)]})
    return [*items, {"Project": project}]


def title(page: str) -> str:
    """Return the first heading, without markup."""
    if page == "project/readme.md":
        return "README"
    found = TITLE.search((STAGE / page).read_text(encoding="utf-8")) if page.endswith(".md") else None
    return re.sub(r"[`*]", "", found[1]) if found else page


def zensical(*words: str) -> list[str]:
    return [str(TOOL), *words, "--config-file", str(CONFIGURATION)]


def build() -> int:
    shutil.rmtree(ROOT / "site", ignore_errors=True)
    return subprocess.run(zensical("build", "--clean", "--strict"), cwd=ROOT, check=False).returncode


def serve(port: str) -> int:
    """Serve the site until Ctrl-C or SIGTERM. Copy changed pages each second; the tool notices."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    child = subprocess.Popen(zensical("serve", "--dev-addr", f"127.0.0.1:{port}"), cwd=ROOT)
    try:
        while child.poll() is None:
            time.sleep(1)
            try:
                stage(places())
            except ValueError as error:
                print(f"freight: docs: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        pass
    finally:
        child.terminate()
    return child.wait()


def main(words: list[str]) -> int:
    try:
        stage(places())
    except ValueError as error:
        print(f"freight: docs: {error}", file=sys.stderr)
        return 1
    return serve(words[1] if len(words) > 1 else "8000") if words[:1] == ["serve"] else build()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
