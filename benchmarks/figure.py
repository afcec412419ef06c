"""Draw throughput and its cost to the machine by budget, for light and dark pages."""

from __future__ import annotations

from collections.abc import Callable

from .results import Result, median_of

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 300, 60, 20, 50, 30
HEAD, FOOT, PAD = 24, 40, 24
COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ec4899")
GREY = "#808890"
FONT = 'font-family="sans-serif" font-size="13"'
PANELS = (
    ("Throughput of the saturated machine, nginx = 1", "gb_per_second"),
    ("GB per CPU-second of the machine, nginx = 1", "gb_per_cpu_second_of_the_machine"),
)


def price_of_the_bound(result: Result) -> str:
    """Return an SVG: a panel for each figure, a line for each number of clients, dots for medians, bars for spreads."""
    budgets = [name for name in result.peers if name.startswith("freight ")]
    whole = HEAD + HEIGHT * len(PANELS) + FOOT
    parts, x = [], float(LEFT)
    for number, case in enumerate(result.cases()):
        words = f"{case} clients"
        parts.append(text(x, HEAD - 6, words, "start", COLOURS[number % len(COLOURS)]))
        x += 7 * len(words) + 30  # the approximate width of the text, and a gap
    for number, (title, key) in enumerate(PANELS):
        parts += [f'<g transform="translate(0 {HEAD + HEIGHT * number})">', *panel(result, budgets, title, key), "</g>"]
    parts.append(text(WIDTH / 2, whole - 14, "--memory", "middle"))
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" {FONT}>'
    return f"{head}\n<title>The price of the bound</title>\n{body}\n</svg>\n"


def panel(result: Result, budgets: list[str], title: str, key: str) -> list[str]:
    """Return the scale, the budgets below it, and the lines of one figure."""
    lines = [[result.paired(name, "nginx", case, key) for name in budgets] for case in result.cases()]
    top = max([1.2, *(value for line in lines for ratios in line for value in ratios)])
    step = (WIDTH - LEFT - RIGHT - 2 * PAD) / max(len(budgets) - 1, 1)

    def height(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [text(LEFT, TOP - 16, title, "start")]
    for tenth in range(0, int(top * 10) + 1, 2):
        y, dash = height(tenth / 10), "" if tenth == 10 else ' stroke-dasharray="2 4"'
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity=".6"{dash}/>')
        parts.append(text(LEFT - 8, y + 4, f"{tenth / 10:.1f}", "end"))
    for place, name in enumerate(budgets):
        parts.append(text(LEFT + PAD + place * step, HEIGHT - BOTTOM + 20, name.removeprefix("freight "), "middle"))
    for number, line in enumerate(lines):
        parts += drawn(line, COLOURS[number % len(COLOURS)], 7 * (number - (len(lines) - 1) / 2), step, height)
    return parts


def text(x: float, y: float, words: str, anchor: str, colour: str = GREY) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def drawn(
    line: list[list[float]], colour: str, shift: float, step: float, height: Callable[[float], float]
) -> list[str]:
    """Return a line through the medians. ``shift`` separates the spreads of lines. A budget without ratios is a gap."""
    dots = [
        (LEFT + PAD + place * step + shift, height(mid), height(max(ratios)), height(min(ratios)))
        for place, ratios in enumerate(line)
        if (mid := median_of(ratios)) is not None
    ]
    if not dots:
        return []
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in dots)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for x, y, high, low in dots:
        parts.append(f'<path d="M{x:.1f} {high:.1f}V{low:.1f}" stroke="{colour}" stroke-opacity=".5"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    return parts
