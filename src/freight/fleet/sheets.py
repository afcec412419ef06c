"""PURE: data as YAML, in the order given, with texts of several lines as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


class _Sheet(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # people edit the file: write equal parts twice
        return True


def _text(dumper: _Sheet, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Sheet.add_representer(str, _text)


def as_yaml(heading: Sequence[str], *sheets: Any) -> str:
    """One document for each of ``sheets``, with the lines of ``heading`` as a comment in front of them."""
    text = yaml.dump_all(sheets, Dumper=_Sheet, sort_keys=False, width=120, allow_unicode=True)
    return "".join(f"# {line}\n" for line in heading) + text
