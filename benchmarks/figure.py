"""Draws the price of the bound: speed against budget, as an SVG that suits a dark page and a light one."""

from __future__ import annotations

from collections.abc import Callable

from .results import Result, middle

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 60, 20, 40, 60
COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ec4899")
GREY = "#808890"
FONT = 'font-family="sans-serif" font-size="13"'


def price_of_the_bound(result: Result) -> str:
    """One line a number of clients; a dot is the median over the rounds, its bar the spread."""
    budgets = [name for name in result.peers if name.startswith("freight ")]
    lines = {
        case: [result.paired(name, "nginx", case, "gb_per_cpu_second") for name in budgets] for case in result.cases()
    }
    top = max([1.2, *(value for line in lines.values() for ratios in line for value in ratios)])
    step = (WIDTH - LEFT - RIGHT) / max(len(budgets) - 1, 1)

    def height(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [text(WIDTH / 2, 20, "GB per CPU-second of the server, nginx = 1", "middle")]
    for tenth in range(0, int(top * 10) + 1, 2):
        y, dash = height(tenth / 10), "" if tenth == 10 else ' stroke-dasharray="2 4"'
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity=".6"{dash}/>')
        parts.append(text(LEFT - 8, y + 4, f"{tenth / 10:.1f}", "end"))
    for place, name in enumerate(budgets):
        parts.append(text(LEFT + place * step, HEIGHT - BOTTOM + 20, name.removeprefix("freight "), "middle"))
    parts.append(text(WIDTH / 2, HEIGHT - 12, "--memory", "middle"))
    for number, (case, line) in enumerate(lines.items()):
        parts += drawn(line, COLOURS[number % len(COLOURS)], 7.0 * number, step, height)
        parts.append(
            text(LEFT + 10 + 175 * number, TOP + 2, f"{case} clients", "start", COLOURS[number % len(COLOURS)])
        )
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>'
    return f"{head}\n<title>The price of the bound</title>\n{body}\n</svg>\n"


def text(x: float, y: float, words: str, anchor: str, colour: str = GREY) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def drawn(
    line: list[list[float]], colour: str, shift: float, step: float, height: Callable[[float], float]
) -> list[str]:
    """A line through the medians; ``shift`` keeps the spreads of two lines apart. A budget without ratios is a gap."""
    dots = [
        (LEFT + place * step + shift, height(mid), height(max(ratios)), height(min(ratios)))
        for place, ratios in enumerate(line)
        if (mid := middle(ratios)) is not None
    ]
    if not dots:
        return []
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in dots)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for x, y, high, low in dots:
        parts.append(f'<path d="M{x:.1f} {high:.1f}V{low:.1f}" stroke="{colour}" stroke-opacity=".5"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    return parts
