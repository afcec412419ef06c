"""Write docs/reference/python.md, the public Python API, from its docstrings. usage: api.py [--check]

The names are those of ``freight.__all__``, in the order of :data:`SECTIONS`, and the fixture of ``freight.testing``.
With ``--check``, print that the page is not up to date, and write nothing.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import freight
import freight.testing
from freight.config.table import SETTINGS
from freight.library import options

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "python.md"
SECTIONS = (
    *("Server", "serve", "Directory", "File", "Bytes", "Stream"),
    *("sign_url", "Settings", "ConfigurationError", "FreightError"),
)
TYPES = {
    "Path": "str or PathLike",
    "Number": "int or str",
    "Time": "float, timedelta or str",
    "Flag": "bool or str",
    "Texts": "str or list",
    "Paths": "str, or list of paths",
    "Pairs": "str, list or mapping",
    "Mounts": "str, list or mapping",
}
TOP = """# Python API

<!-- ./scripts/api writes this page from the docstrings. -->

The names of `freight.__all__` and the fixture of `freight.testing` are public: from version 1.0 on they change as
[Semantic Versioning](https://semver.org/spec/v2.0.0.html) says.
All other modules are private, and may change in any version. [Serve from Python](../how-to/python.md) has examples.
"""
ROLE = re.compile(r":(?:class|meth|func|data|mod):`~?([^`]*\.)?([^`.]+)`")
BLOCK = re.compile(r"::\n\n((?: {4}.*\n|\n)+)")


def page() -> str:
    """Return the text of the page."""
    parts = [TOP, *(section for name in SECTIONS for section in described(f"freight.{name}", getattr(freight, name)))]
    parts += [settings_table(), *described("freight.testing.freight_server", freight.testing.freight_server)]
    parts.append("`freight.__version__` is the version, as text.\n")
    return "\n".join(parts)


def described(name: str, value: Any) -> Iterator[str]:
    """Yield the section of a public name, and those of its members."""
    yield f"## {name}\n"
    if not name.startswith(("freight.Settings", "freight.testing")) and not name.endswith("Error"):
        yield signature(name, value)
    yield markdown(inspect.getdoc(value) or "")
    if name != "freight.Server":
        return
    for member, found in vars(value).items():
        if not member.startswith("_"):
            yield f"### Server.{member}\n"
            if not isinstance(found, property):
                yield signature(member, found)
            yield markdown(inspect.getdoc(found) or "")


def signature(name: str, value: Any) -> str:
    """Return the call of a function or class, without the types."""
    parameters = [each.replace(annotation=each.empty) for each in inspect.signature(value).parameters.values()]
    shown = str(inspect.Signature([each for each in parameters if each.name != "self"])).replace("'", '"')
    before = "await " if inspect.iscoroutinefunction(value) else ""
    return f"```python\n{before}{name}{shown}\n```\n"


def markdown(docstring: str) -> str:
    """Return a docstring, which is reStructuredText, as Markdown."""
    text = ROLE.sub(r"`\2`", f"{docstring}\n").replace("``", "`")
    return BLOCK.sub(lambda block: f":\n\n```python\n{dedent(block[1]).strip()}\n```\n\n", text).rstrip() + "\n"


def settings_table() -> str:
    """Return the keyword arguments with their types, each linked to its setting."""
    lines = ["## Settings as keyword arguments\n", "| argument | type | default |", "|---|---|---|"]
    annotations = options.Options.__annotations__
    for each in SETTINGS:
        name = each.name.replace("-", "_")
        if name in annotations:
            kind = " or ".join(TYPES.get(part, part) for part in annotations[name].__forward_arg__.split(" | "))
            default = options.OWN_DEFAULTS.get(each.name, each.default)
            lines.append(f"| [`{name}`](settings.md#--{each.name}) | {kind} | `{default}` |")
    return "\n".join([*lines, ""])


def main(*, check: bool) -> int:
    text = page()
    if check:
        if PAGE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{PAGE.name} does not have what the docstrings say: ./scripts/api")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
