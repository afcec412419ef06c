"""``freight rules``: which rule by path applies to a path, and what it sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from freight.cli.output import CONTEXT, DONE, FAILED, MISUSED, complain
from freight.cli.params import NOTATION, Command, parameters, resolver
from freight.config.mounts import show_point
from freight.http import disposition
from freight.http.prefix import Prefix
from freight.http.rules import INDEX_NAME, NO_RULE, Rule, Rules, path_of
from freight.http.target import Target, parse
from freight.model import NotFound
from freight.names import shown
from freight.sources.types import media_type


class Row(NamedTuple):
    """A key, its value (None: there is none), and why."""

    key: str
    value: str | None
    why: str = ""


def _rules(target: str | None, as_json: bool, **values: Any) -> int:
    resolved = resolver(values | {"path": None})()
    for warning in resolved.warnings:
        click.echo(f"freight: {warning}", err=True)
    rules = resolved.settings.rules or Rules(())
    if target is None:
        _print([_given(rules, rule) for rule in rules.rules], as_json, alone=False)
        return DONE if rules.rules else complain("there are no rules", FAILED)
    below = _below(resolved.settings.prefix, _escaped(target))
    if below is None:
        prefix = show_point(resolved.settings.prefix)
        return complain(f"PATH: {target!r} is outside of the prefix; it starts with {prefix}/", MISUSED)
    parsed = parse(below)
    if parsed is None or parsed.unresolvable:
        return complain(f"PATH: {target!r} is not the path of a file; it starts with /", MISUSED)
    rule = rules.find(parsed)
    decided = list(_resolved(rule, parsed, show_hidden=resolved.settings.show_hidden))
    _print([[*_place(rules, rule), *decided]], as_json, alone=True)
    return FAILED if rule is NO_RULE else DONE


def _below(prefix: tuple[str, ...], target: str) -> str | None:
    """Return a request target without the prefix, which rules do not have; None if it is outside."""
    below = Prefix(prefix).without(target) if prefix else target
    return None if isinstance(below, NotFound) else below


def _escaped(path: str) -> str:
    """Return a path as a request target. A shell's word may have characters that a target escapes."""
    return "".join(c if "!" <= c <= "~" and c != "#" else _escape(c) for c in path)


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def _place(rules: Rules, rule: Rule) -> list[Row]:
    """Return which rule it is, and the pattern that matches."""
    if rule is NO_RULE:
        return [Row("rule", None, f"none of {len(rules.rules)} matches" if rules.rules else "there are none")]
    at = next(at for at, each in enumerate(rules.rules, 1) if each is rule)
    return [Row("rule", rule.origin, f"{at} of {len(rules.rules)}"), Row("match", rule.match)]


def _given(rules: Rules, rule: Rule) -> list[Row]:
    """Return the keys that a rule has."""
    texts = [(key, getattr(rule, key)) for key in ("cache_control", "content_type", "disposition")]
    return [
        *_place(rules, rule),
        *(Row("headers", f"{name}: {value}") for name, value in rule.headers),
        *(Row(key, text) for key, text in texts if text),
        *([Row("index", rule.index)] if rule.index != NO_RULE.index else []),
        *(Row("hidden", pattern) for pattern in rule.hidden),
        *([Row("access", str(rule.access))] if rule.access is not None else []),
    ]


def _resolved(rule: Rule, target: Target, *, show_hidden: bool) -> Iterator[Row]:
    """Yield what an answer for the path has, key by key, and why."""
    yield Row("path", shown(path_of(target)))
    for name, value in rule.headers:
        yield Row("headers", f"{name}: {value}")
    if target.directory:
        why = "" if rule.index != NO_RULE.index else "the default"
        if rule.index.startswith(INDEX_NAME):
            why = f"where {shown(path_of(Rules.index_of(target)))} exists, its own rule decides the rest"
        yield Row("index", rule.index, why)
    else:
        kind = rule.content_type or media_type(target.segments[-1])
        yield Row("cache_control", rule.cache_control or None, "" if rule.cache_control else "none, the default")
        yield Row("content_type", kind, "" if rule.content_type else "by its name")
        yield Row(
            "disposition",
            rule.disposition or disposition.header("", kind),
            "" if rule.disposition else "by its type",
        )
    if rule.access is not None:
        yield Row("access", str(rule.access))
    if any(name.startswith(".") for name in target.segments):
        yield _hidden(rule, target, show_hidden=show_hidden)


def _hidden(rule: Rule, target: Target, *, show_hidden: bool) -> Row:
    if show_hidden:
        return Row("hidden", "served", "--show-hidden")
    if rule.reveals(target):
        return Row("hidden", "served", "the rule allows it")
    return Row("hidden", "404", "no rule allows this name with a dot")


def _print(tables: list[list[Row]], as_json: bool, *, alone: bool) -> None:
    if as_json:
        import json

        found = [_joined(rows) for rows in tables]
        click.echo(json.dumps(found[0] if alone else found, indent=2))
        return
    for at, rows in enumerate(tables):
        if at:
            click.echo()
        before = ""
        for key, value, why in rows:
            text = f"{value} ({why})" if value and why else value or why
            click.echo(f"{'' if key == before else key:13}  {text}")
            before = key


def _joined(rows: list[Row]) -> dict[str, str | list[str] | None]:
    """Return rows as an object. A key with several lines has an array."""
    found: dict[str, str | list[str] | None] = {}
    for key, value, _ in rows:
        if key in found or key == "headers":
            lines = found.setdefault(key, [])
            found[key] = [*(lines if isinstance(lines, list) else [lines or ""]), value or ""]
        else:
            found[key] = value
    return found


rules = Command(
    "rules",
    callback=_rules,
    params=[
        click.Argument(["target"], required=False, metavar="[PATH]"),
        *(each for each in parameters() if isinstance(each, click.Option)),
        click.Option(["--json", "as_json"], is_flag=True, help="Print an object, or an array of all rules."),
    ],
    context_settings=CONTEXT,
    short_help="Show which rule by path applies to a path.",
    help="""Show which rule of the settings file, or of the options, applies to the PATH of a URL, and what an answer
for it has. Without PATH, list all rules. Files are not looked up, and nothing is served.

PATH: the path as a client requests it, such as /maps/world.pmtiles; that of a directory ends with a slash.
With --prefix it starts with that.""",
    epilog=f"""{NOTATION}

\b
Examples:
  freight rules --config /etc/freight.toml
  freight rules /maps/world.pmtiles --config /etc/freight.toml
  freight rules /docs/ --index index.html --json

\b
Exit status:
  0      a rule applies
  1      no rule applies
  2      a mistake in the command or in the file""",
)
