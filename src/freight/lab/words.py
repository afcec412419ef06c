"""PURE. What is said of each scenario: a few sentences, with the numbers that were just measured in them."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from freight.lab.facts import FACTS

Record = Mapping[str, Any]


def sentences(name: str, record: Record) -> list[str]:
    """The sentences of a scenario whose every fact there is: one about others is left out where there are none."""
    facts = FACTS[name](record)
    texts = [" ".join(paragraph.split()) for paragraph in _SENTENCES[name].split("\n\n")]
    return [text.format_map(facts) for text in texts if _needs(text) <= facts.keys()]


def finding(name: str, record: Record) -> str:
    """The one sentence that says it."""
    return sentences(name, record)[1 if name == "memory" else 0]


def _needs(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field}


_SENTENCES: Mapping[str, str] = {
    "memory": """
        The process had {start} when nobody had asked for anything.

        While a file of {file} went out in {flight_seconds} the process grew by at most {growth}, and at the
        worst moment the kernel held {kernel} for it.

        Afterwards the process has {after}, {left}: {verdict}.

        The file's bytes are in the page cache. That is the kernel's, and it gives it to whoever needs
        memory.
    """,
    "strategies": """
        With {clients} in mid-download of a file of {file}, the server that reads it all has {whole}, the
        one with a buffer {chunks}, the one without {zero_copy}, and freight {freight}.

        A client more adds {whole_per_client}, {chunks_per_client}, {zero_copy_per_client} and
        {freight_per_client}: the first is the file, the others do not depend on it.

        A gigabyte in such files takes them {whole_cpu}, {chunks_cpu}, {zero_copy_cpu} and {freight_cpu} CPU-seconds.

        Others add, a client: {others}.
    """,
    "buffer": """
        With a buffer of {first} the server sends {first_speed} GB a CPU-second, with {knee} it sends
        {knee_speed}: the least buffer with {share} of the best that was seen, {best}.

        That is the knee. A buffer of {largest} gives {largest_speed}, and costs {largest_per_client} a
        client instead of {knee_per_client}.
    """,
    "stalled": """
        {clients} took {taken} each and stopped reading: without a window the kernel holds {free} for them,
        with a budget of 20 MB it holds {bound}, {effect} less.

        That is {free_per_client} a client, and {bound_per_client}.

        The process grew by {free_process} and {bound_process}: who looks at the process only sees nothing
        of it.

        Servers that leave it to the kernel pin, a client: {others}.
    """,
    "crowd": """
        From 1 to {clients} in mid-download, the process of {server} grows by {per_client} a client, from
        {intercept}: a straight line (r² = {r_squared}).

        Some seconds after all of them had gone it had given back {given_back} of the {growth} it had grown
        by.

        Others grow by, a client: {others}.
    """,
    "budget": """
        {clients} get {least_speed} GB a CPU-second of the server from a budget of {least}, and {most_speed}
        from {most}: a smaller one means smaller windows, so more calls for the same bytes.

        {crowd} came at once for {slots}: half of them waited at most {half}, the last {last}; {whole} had
        the whole file, {lost}.
    """,
    "length": """
        Where the length is stated wget knows how far it is, “{stated_shown}”; where it is not, only how
        much it has, “{unstated_shown}”.

        Both were cut in the midst of {file} and taken up again: with a length the answer was
        {stated_status} and {stated_sent}, what was missing; without one it was {unstated_status} and
        {unstated_sent}, all of it again.

        Who does not know where a body ends can neither promise a part of it, nor tell a whole one from one
        that was cut.
    """,
}
"""Of each scenario, a paragraph a sentence."""
