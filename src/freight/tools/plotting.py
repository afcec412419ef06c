"""The style of all figures: SVG for light and dark pages, in colours that colour-blind readers can distinguish."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholders, which svg() replaces by the colours of the page's scheme.
INK, FAINT, RULE, PAPER = "#010201", "#010202", "#010203", "#010204"
PROCESS, KERNEL, CACHE, OTHER, FOURTH, FIFTH = "#010205", "#010206", "#010207", "#010208", "#010209", "#01020a"
_OF_SERVERS = {
    **{"freight": PROCESS, "read it all": KERNEL, "32KiB chunks": FIFTH, "zero-copy": OTHER},
    **{"nginx": FOURTH, "go io.Copy": CACHE},
}

# Okabe and Ito's palette for all kinds of colour vision, darker on white and lighter on dark, so that text in these
# colours is readable.
_SCHEMES = {
    INK: ("ink", "#1f2328", "#e6edf3"),
    FAINT: ("faint", "#59636e", "#9198a1"),
    RULE: ("rule", "#d8dee4", "#30363d"),
    PAPER: ("paper", "#ffffff", "#0d1117"),
    PROCESS: ("blue", "#0072b2", "#3f9fe0"),
    KERNEL: ("vermilion", "#c24e00", "#f0823a"),
    CACHE: ("sky", "#3a94cc", "#7cc7f2"),
    OTHER: ("green", "#008661", "#2bbd93"),
    FOURTH: ("purple", "#b0578a", "#d98fb8"),
    FIFTH: ("orange", "#a87300", "#e6a817"),
}

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": FAINT,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 2.0,
    "lines.markersize": 5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "freight",  # so that equal numbers make equal files
    "text.color": INK,
    "xtick.color": RULE,
    "xtick.labelcolor": FAINT,
    "xtick.minor.visible": False,
    "ytick.color": RULE,
    "ytick.labelcolor": FAINT,
    "ytick.minor.visible": False,
}


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of this size in inches, in the common style."""
    with matplotlib.rc_context(_STYLE):
        from matplotlib.figure import Figure

        yield Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure, title: str, text: str) -> str:
    """Return the figure as SVG, with a title and a description for screen readers."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    picture = out.getvalue()
    picture = picture[picture.index("<svg") :]
    for placeholder, (name, _, _) in _SCHEMES.items():
        picture = picture.replace(placeholder, f"var(--{name})")
    picture = re.sub(r"'DejaVu Sans Mono'[^;\"]*", "ui-monospace, monospace", picture)
    picture = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", picture)
    light, dark = ("".join(f"--{row[0]}:{row[at]};" for row in _SCHEMES.values()) for at in (1, 2))
    schemes = f"svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    head, rest = picture.split(">", 1)
    head = head.replace("<svg", '<svg role="img"', 1)
    rest = re.sub(r"\s*<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    return (
        f"{head}>\n <title>{_escaped(title)}</title>\n <desc>{_escaped(text)}</desc>\n <style>{schemes}</style>{rest}"
    )


def colour_of(server: str) -> str:
    """Return the colour of a server, which is one in all figures."""
    return _OF_SERVERS.get(server, PROCESS if server.startswith("freight") else INK)


def label(
    axes: Axes, x: float, y: float, text: str, colour: str = INK, *, dx: float = 6, dy: float = 0, **more: Any
) -> None:
    """Write a label ``dx`` and ``dy`` points away from a point."""
    placed: dict[str, Any] = {"va": "center", "ha": "left" if dx >= 0 else "right", "fontsize": 9.5, **more}
    axes.annotate(text, (x, y), (dx, dy), textcoords="offset points", color=colour, annotation_clip=False, **placed)


def spaced(places: list[float], least: float) -> list[float]:
    """Return the places, moved apart by at least ``least``, so that labels do not overlap. Their order stays."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for lower, upper in pairwise(order):
        moved[upper] = max(moved[upper], moved[lower] + least)
    shift = sum(moved) / len(moved) - sum(places) / len(places) if places else 0.0
    return [place - shift for place in moved]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
