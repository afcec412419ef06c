"""Find the blocks of a Markdown page that are played, and write other output into them.

An HTML comment directly before a block is its directive::

    <!-- run -->                              type the commands, in terminal 1; compare what they print
    <!-- run: terminal 2 -->                  the same in terminal 2; each keeps its directory and variables
    <!-- run: until "TEXT" -->                wait for this text, and not for the end of the last command, a server
    <!-- run: numbers vary -->                compare words only, as all numbers differ each time
    <!-- run: in a checkout -->               skip the block where freight was installed as a package
    <!-- not run: REASON -->                  do not type it
    <!-- save as: FILE -->                    write the block to a file, in the directory of terminal 1
    <!-- setup: COMMAND -->                   no block follows: run this in a hidden terminal; it must succeed
    <!-- needs: PROGRAM, PROGRAM -->          no block follows: the page cannot be played without these

In a block, ``$ COMMAND`` is typed, ``^C`` is pressed, and all other lines are output. A block that begins with output
shows what its terminal has printed since its last block. A line ``...`` matches any number of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

PROMPT, CTRL_C, ANY_LINES = "$ ", "^C", "..."

_DIRECTIVE = re.compile(
    r"^<!-- (?P<kind>run|not run|save as|setup|needs)(?:: (?P<words>[^\n]*?))? -->$"
    r"(?:\n```\w*\n(?P<body>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
_CONSOLE = re.compile(r"^```console\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_TERMINAL = re.compile(r"terminal ([1-9])")
_UNTIL = re.compile(r'until "([^",]+)"')
_FLAGS = {"in a checkout": "in_checkout", "numbers vary": "numbers_vary"}


class Kind(Enum):
    """What is done with a block."""

    RUN = "run"
    NOT_RUN = "not run"
    SAVE = "save as"
    SETUP = "setup"
    NEEDS = "needs"


class BadPage(ValueError):
    """A page with an invalid directive."""


@dataclass(frozen=True, slots=True)
class Step:
    """A typed line, or None, and the output lines below it."""

    typed: str | None
    output: tuple[str, ...]

    def text(self) -> str:
        typed = () if self.typed is None else (self.typed if self.typed == CTRL_C else f"{PROMPT}{self.typed}",)
        return "".join(f"{line}\n" for line in (*typed, *self.output))


@dataclass(frozen=True, slots=True)
class Block:
    """One directive and its block.

    ``words``: the reason, file or command. ``span``: the position of the body in the page. ``until``: the output of the
    last command that ends the wait; None: wait for the end of the command.
    """

    kind: Kind
    words: str
    line: int
    span: tuple[int, int]
    body: str
    terminal: int = 1
    until: str | None = None
    in_checkout: bool = False
    numbers_vary: bool = False

    @property
    def steps(self) -> list[Step]:
        return list(_steps(self.body))


def blocks(page: str) -> list[Block]:
    """Return a page's blocks that have a directive, in their order. Raise BadPage."""
    return [_block(found, 1 + page.count("\n", 0, found.start())) for found in _DIRECTIVE.finditer(page)]


def undecided(page: str) -> list[int]:
    """Return the line numbers of console blocks without a directive."""
    decided = {found.start("body") for found in _DIRECTIVE.finditer(page)}
    return [
        1 + page.count("\n", 0, found.start())
        for found in _CONSOLE.finditer(page)
        if found.start("body") not in decided
    ]


def rewritten(page: str, bodies: Mapping[Block, str]) -> str:
    """Return the page with other bodies in these blocks."""
    for block, body in sorted(bodies.items(), key=lambda item: item[0].span, reverse=True):
        start, stop = block.span
        page = page[:start] + body + page[stop:]
    return page


def body_of(steps: Iterable[Step]) -> str:
    """Return a block's body, from its steps."""
    return "".join(step.text() for step in steps)


def _block(found: re.Match[str], line: int) -> Block:
    kind = Kind(found["kind"])
    words, body = found["words"] or "", found["body"]
    if (body is None) is not (kind in (Kind.SETUP, Kind.NEEDS)):
        raise BadPage(f"line {line}: {'a block' if body is None else 'no block'} has to follow '{found['kind']}'")
    if kind is not Kind.RUN:
        if not words:
            raise BadPage(f"line {line}: '{found['kind']}' has to say more")
        return Block(kind, words, line, found.span("body"), body or "")
    options: dict[str, Any] = {}
    for word in filter(None, words.split(", ")):
        if named := _TERMINAL.fullmatch(word):
            options["terminal"] = int(named[1])
        elif until := _UNTIL.fullmatch(word):
            options["until"] = until[1]
        elif word in _FLAGS:
            options[_FLAGS[word]] = True
        else:
            raise BadPage(f"line {line}: 'run' knows no '{word}'")
    return Block(kind, words, line, found.span("body"), body, **options)


def _steps(body: str) -> Iterable[Step]:
    typed, output = None, list[str]()
    for line in body.splitlines():
        if line == CTRL_C or line.startswith(PROMPT):
            if typed is not None or output:
                yield Step(typed, tuple(output))
            typed, output = line.removeprefix(PROMPT), []
        else:
            output.append(line)
    yield Step(typed, tuple(output))
