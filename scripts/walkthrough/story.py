"""Play a page from its first block to its last, and compare what it shows with what is printed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .checkout import Place
from .compare import agree, shortened
from .page import CTRL_C, Block, Kind, Step, blocks, body_of, rewritten
from .terminal import CommandTimeout, Terminal

COMMAND_SECONDS = 120.0  # the time limit of a command, on a busy machine
_EXTRA_OUTPUT_SECONDS = 0.3  # an extra line comes within this time, or belongs to the next block


@dataclass(frozen=True, slots=True)
class Difference:
    """Output that differs from the page, or a block that could not be played.

    ``is_repaired``: the new page shows what was printed.
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
    """The outcome of a page: the page with the new output, and its differences from the old one."""

    page: str
    differences: list[Difference] = field(default_factory=list)


def play(page: str, place: Place, *, start: Path, installed: bool = False, quiet_seconds: float = 20.0) -> Played:
    """Type all blocks of a page.

    ``start``: the directory in which each terminal begins. ``installed``: freight is an installed package, so blocks
    for a checkout are skipped. ``quiet_seconds``: output that differs from the page is complete after this time without
    more.
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
        self._setup_terminal: Terminal | None = None
        self._differences: list[Difference] = []
        self._bodies: dict[Block, str] = {}

    def play(self) -> Played:
        last = 1
        for block in blocks(self._page):
            last = block.line
            try:
                self._block(block)
            except CommandTimeout as error:
                self._differences.append(Difference(block.line, str(error)))
                break
        else:
            for number, terminal in self._terminals.items():
                if left := self._shown(terminal.read_output()):
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
        if self._setup_terminal is None:
            self._setup_terminal = self._new_terminal()
        status, said = self._setup_terminal.run(self._place.typed(block.words), COMMAND_SECONDS)
        if status:
            self._differences.append(Difference(block.line, f"set-up has failed: {block.words}", (), tuple(said)))

    def _type(self, block: Block) -> None:
        terminal, played, steps = self._terminal(block.terminal), [], block.steps
        for step in steps:
            until = block.until if step is steps[-1] else None

            def is_shown(printed: list[str], step: Step = step) -> bool:
                return agree(step.output, self._shown(printed), numbers_vary=block.numbers_vary)

            said = self._perform(terminal, step, until, is_shown)
            if is_shown(said):
                played.append(step)
                continue
            printed = tuple(self._shown(said))
            heading = "this is not what was printed" if step.typed is None else step.typed
            self._differences.append(Difference(block.line, heading, step.output, printed, True))
            played.append(Step(step.typed, shortened(step.output, printed)))
        self._bodies[block] = body_of(played)

    def _perform(
        self, terminal: Terminal, step: Step, until: str | None, is_shown: Callable[[list[str]], bool]
    ) -> list[str]:
        """Type a step, and return what is printed."""
        if step.typed == CTRL_C:
            terminal.press_ctrl_c()
            said = terminal.finish(COMMAND_SECONDS)[1]
            return said[1:] if said[:1] == [""] else said  # the shell starts a new line after the ^C
        if step.typed is None:
            said = terminal.wait_for_output(is_shown, COMMAND_SECONDS, self._quiet_seconds)
        else:
            terminal.start(self._place.typed(step.typed))
            if until is None:
                return terminal.finish(COMMAND_SECONDS)[1]
            said = terminal.wait_for_output(_has(until), COMMAND_SECONDS, COMMAND_SECONDS)
            if not _has(until)(said):
                raise CommandTimeout(f"'{until}' has not been printed within {COMMAND_SECONDS:.0f} s, but {said[-5:]}")
        return said + terminal.wait_for_output(lambda _: False, _EXTRA_OUTPUT_SECONDS, _EXTRA_OUTPUT_SECONDS)

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
