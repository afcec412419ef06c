"""Make the report: one page that needs no network and no script. PURE, except that it reads its template."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from freight.tools.lab.format import memory
from freight.tools.lab.report_text import remarks, sentences, verdict
from freight.tools.lab.tables import KEYS, TABLES

_TEMPLATE = Path(__file__).with_name("report.html")
_THREE = ("memory-start", "memory-flight", "memory-after")

Record = Mapping[str, Any]

PROCESS_MEMORY = "private dirty pages"


def page(results: Record, pictures: Mapping[str, Mapping[str, str]], titles: Mapping[str, tuple[str, str]]) -> str:
    """Return the page. ``results`` as in results.json; the SVGs of each scenario; title and question of each."""
    scenarios = results["scenarios"]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        about=escape(_about(results)),
        banner=_banner(results),
        process=escape(results.get("process_memory", PROCESS_MEMORY)),
        findings="\n".join(_finding(name, record, titles[name][0]) for name, record in scenarios.items()),
        sections="\n".join(
            _section(name, record, titles[name], pictures.get(name, {})) for name, record in scenarios.items()
        ),
        machine=escape(machine(results["machine"], results["versions"])),
        note="This was a quick run, with fewer cases and shorter times." if results["quick"] else "",
    )


def machine(found: Record, versions: Record) -> str:
    """Return the sentence that says what the numbers depend on."""
    sysctl = ", ".join(f"{name} = {value}" for name, value in found["sysctl"].items())
    programs = ", ".join(f"{name} {version}" for name, version in versions.items())
    host = f"{found['cores']} cores ({found['cpu']}), {memory(found['memory_bytes'])}, Linux {found['kernel']}"
    return f"{host}; {programs}; {sysctl}."


def _about(results: Record) -> str:
    took = f"{results['seconds']:.0f} seconds"
    about = f"Measured on this machine on {results['made']}, in {took}, with freight {results['versions']['freight']}."
    before = (results.get("load") or {}).get("before", {}).get("load")
    return about if before is None else f"{about} The load average before was {before:.2f}."


def _banner(results: Record) -> str:
    return f'<p class="banner" role="alert">{escape(results["busy"])}</p>' if results.get("busy") else ""


def _finding(name: str, record: Record, title: str) -> str:
    if "skipped" in record:
        said = f'<span class="bad">skipped</span>: {escape(record["skipped"])}'
    else:
        said = _marked(verdict(name, record))
    return f'<li><a href="#{name}">{escape(title)}</a><span>{said}</span></li>'


def _section(name: str, record: Record, title: tuple[str, str], pictures: Mapping[str, str]) -> str:
    heading = f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{escape(title[0])}</h2>'
    heading += f'\n<p class="question">{escape(title[1])}</p>'
    if "skipped" in record:
        return f'{heading}\n<p><span class="bad">Skipped</span>: {escape(record["skipped"])}</p>\n</section>'
    first, *others = sentences(name, record)
    parts = [heading, *(f'<p class="bad">{escape(said)}</p>' for said in remarks(record))]
    parts += [f"<p><strong>{_marked(first)}</strong></p>", f'<div class="key">{_table(KEYS[name](record))}</div>']
    small = [_figure(pictures[three]) for three in _THREE if three in pictures]
    parts += [f'<div class="three">\n{"".join(small)}</div>'] if small else []
    parts += [_figure(picture) for three, picture in pictures.items() if three not in _THREE]
    parts += [f"<p>{_marked(sentence)}</p>" for sentence in others]
    parts += [_details("All numbers: the median of several measurements (least to most)", _table(TABLES[name](record)))]
    if record["left_out"]:
        left_out = "".join(f"<li>{escape(what)}: {escape(why)}</li>" for what, why in record["left_out"].items())
        parts += [f'<p class="bad">Left out:</p>\n<ul>{left_out}</ul>']
    commands = [["what", "command"], *([what, command] for what, command in record["command"].items())]
    parts += [_details("The commands", _table(commands, code=True)), "</section>"]
    return "\n".join(parts)


def _figure(picture: str) -> str:
    """Embed a figure as an image, because the ids of inline figures would collide."""
    title, text = (picture.split(f"<{tag}>")[1].split(f"</{tag}>")[0] for tag in ("title", "desc"))
    data = b64encode(picture.encode()).decode()
    alt = escape(f"{title}. {text}", quote=True).replace("&amp;", "&")
    return f'<figure><img alt="{alt}" src="data:image/svg+xml;base64,{data}"></figure>\n'


def _table(rows: Iterable[Iterable[str]], *, code: bool = False) -> str:
    head, *body = rows
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = []
    for first, *rest in body:
        more = (f"<code>{escape(cell)}</code>" if code else escape(cell) for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{cell}</td>" for cell in more)}</tr>')
    return f"<table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n{chr(10).join(lines)}\n</tbody>\n</table>"


def _details(title: str, content: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n<div>{content}</div>\n</details>"


def _marked(sentence: str) -> str:
    """Emphasize what must not be overlooked."""
    said = escape(sentence)
    for word in ("LEAKING", "FAILED"):
        said = said.replace(word, f'<strong class="bad">{word.lower()}</strong>')
    return said
