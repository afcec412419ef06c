"""Play a page from its first block to its last, and compare what it shows with what is printed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .checkout import Place
from .compare import agree, shortened
from .page import CTRL_C, Block, Kind, Step, blocks, body_of, rewritten
from .terminal import Silent, Terminal

PATIENCE_SECONDS = 120.0  # of one command, on a machine that does much else
_MOMENT_SECONDS = 0.3  # a line too many comes at once, or belongs to what follows


@dataclass(frozen=True, slots=True)
class Difference:
    """Output that is not what the page shows, or a block that could not be played.

    ``is_repaired``: the page that comes of it shows what was printed.
    """

    line: int
    said: str
    shown: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    is_repaired: bool = False

    def __str__(self) -> str:
        parts = [f"line {self.line}: {self.said}"]
        parts += [f"  - {line}" for line in self.shown] + [f"  + {line}" for line in self.printed]
        return "\n".join(parts)


@dataclass(slots=True)
class Played:
    """What came of a page: the page with what was printed, and where that is not what it showed."""

    page: str
    differences: list[Difference] = field(default_factory=list)


def play(page: str, place: Place, *, start: Path, installed: bool = False, quiet_seconds: float = 20.0) -> Played:
    """Type all blocks of a page.

    ``start``: the directory in which each terminal begins. ``installed``: freight is an installed package, so blocks
    for a checkout are skipped. ``quiet_seconds``: output that differs from the page is complete when nothing has come
    for so long.
    """
    with ExitStack() as stack:
        return _Player(page, place, start, installed, quiet_seconds, stack).play()


class _Player:
    def __init__(
        self, page: str, place: Place, start: Path, installed: bool, quiet_seconds: float, stack: ExitStack
    ) -> None:
        self._page, self._place, self._start = page, place, start
        self._installed, self._quiet_seconds, self._stack = installed, quiet_seconds, stack
        self._terminals: dict[int, Terminal] = {}
        self._behind_the_scenes: Terminal | None = None
        self._differences: list[Difference] = []
        self._bodies: dict[Block, str] = {}

    def play(self) -> Played:
        last = 1
        for block in blocks(self._page):
            last = block.line
            try:
                self._block(block)
            except Silent as error:
                self._differences.append(Difference(block.line, str(error)))
                break
        else:
            for number, terminal in self._terminals.items():
                if left := self._shown(terminal.take()):
                    said = f"terminal {number} has printed more since the last block that shows it"
                    self._differences.append(Difference(last, said, (), tuple(left)))
        return Played(rewritten(self._page, self._bodies), self._differences)

    def _block(self, block: Block) -> None:
        if block.kind in (Kind.NOT_RUN, Kind.NEEDS) or (block.in_checkout and self._installed):
            return
        if block.kind is Kind.SETUP:
            self._set_up(block)
        elif block.kind is Kind.SAVE:
            (self._terminal(1).directory / block.words).write_text(self._place.typed(block.body), encoding="utf-8")
        else:
            self._type(block)

    def _set_up(self, block: Block) -> None:
        if self._behind_the_scenes is None:
            self._behind_the_scenes = self._new_terminal()
        status, said = self._behind_the_scenes.run(self._place.typed(block.words), PATIENCE_SECONDS)
        if status:
            self._differences.append(Difference(block.line, f"set-up has failed: {block.words}", (), tuple(said)))

    def _type(self, block: Block) -> None:
        terminal, played, steps = self._terminal(block.terminal), [], block.steps
        for step in steps:
            until = block.until if step is steps[-1] else None

            def is_shown(printed: list[str], step: Step = step) -> bool:
                return agree(step.output, self._shown(printed), numbers_vary=block.numbers_vary)

            said = self._said(terminal, step, until, is_shown)
            if is_shown(said):
                played.append(step)
                continue
            printed = tuple(self._shown(said))
            heading = "this is not what was printed" if step.typed is None else step.typed
            self._differences.append(Difference(block.line, heading, step.output, printed, True))
            played.append(Step(step.typed, shortened(step.output, printed)))
        self._bodies[block] = body_of(played)

    def _said(
        self, terminal: Terminal, step: Step, until: str | None, is_shown: Callable[[list[str]], bool]
    ) -> list[str]:
        """Type a step, and return what is printed."""
        if step.typed == CTRL_C:
            terminal.press_ctrl_c()
            said = terminal.finish(PATIENCE_SECONDS)[1]
            return said[1:] if said[:1] == [""] else said  # the shell goes to a new line, behind the ^C
        if step.typed is None:
            said = terminal.look(is_shown, PATIENCE_SECONDS, self._quiet_seconds)
        else:
            terminal.start(self._place.typed(step.typed))
            if until is None:
                return terminal.finish(PATIENCE_SECONDS)[1]
            said = terminal.look(_has(until), PATIENCE_SECONDS, PATIENCE_SECONDS)
            if not _has(until)(said):
                raise Silent(f"'{until}' has not been printed within {PATIENCE_SECONDS:.0f} s, but {said[-5:]}")
        return said + terminal.look(lambda _: False, _MOMENT_SECONDS, _MOMENT_SECONDS)

    def _shown(self, lines: list[str]) -> list[str]:
        return [self._place.shown(line).rstrip() for line in lines]

    def _terminal(self, number: int) -> Terminal:
        if number not in self._terminals:
            self._terminals[number] = self._new_terminal()
        return self._terminals[number]

    def _new_terminal(self) -> Terminal:
        terminal = Terminal(self._start, self._place.environment)
        self._stack.callback(terminal.close)
        return terminal


def _has(text: str) -> Callable[[list[str]], bool]:
    return lambda printed: any(text in line for line in printed)
