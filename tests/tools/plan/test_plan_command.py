"""``freight plan`` on the command line: a table of 80 columns, or JSON, and one clear line for every mistake."""

from __future__ import annotations

import json
import re

import pytest

from freight.cli.main import main
from freight.memory.costs import CONNECTION_COST, WINDOW_MIN
from freight.memory.host_limits import default_memory


def test_a_table_marks_the_query_names_its_source_and_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--clients", "10000", "--memory", "64MiB", "--rtt", "40ms", "--rate", "1Gbit/s"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = ["clients", "nodes", "memory", "window", "held", "to", "rate", "each", "bound", "by"]
    assert lines[0].split() == heads
    marked = [line for line in lines if line.startswith("> ")]
    assert [line.split()[1:4] for line in marked] == [["10,000", "6", "64MiB"]]
    assert marked[0].split()[-2:] == ["75.0kB/s", "link"]
    assert max(map(len, lines)) <= 80
    assert "the memory budget of the server itself" in " ".join(lines)


def test_json_has_the_budgets_costs_the_question_and_rows_in_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--clients", "50,500", "--rtt", "40ms", "--rate", "8Mbit/s", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["costs"]["window_least_bytes"] == WINDOW_MIN
    assert shown["costs"]["connection_bytes"] == CONNECTION_COST
    assert shown["question"]["link_bytes_per_second"] == 1_000_000
    assert [(row["clients"], row["asked"]) for row in shown["rows"]] == [(50, True), (500, True)]
    assert [row["rate_bytes_per_second"] for row in shown["rows"]] == [20_000, 2_000]


def test_without_a_question_it_is_about_the_default_of_a_server_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["memory_bytes"] for row in rows if row["asked"]] == [default_memory()]


def test_a_number_without_an_option_is_a_number_of_clients(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*arguments: str) -> str:
        assert main(["plan", *arguments]) == 0
        return capsys.readouterr().out

    assert shown("500") == shown("--clients", "500")
    assert shown("500", "50", "--memory", "20MB") == shown("--clients", "500,50", "--memory", "20MB")


@pytest.mark.parametrize("more", [[], ["--rtt", "40ms", "--rate", "1Gbit/s"], ["--memory", "4GiB"]])
def test_every_column_is_explained_below_the_table(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    assert main(["plan", "500", *more]) == 0
    table, legend = capsys.readouterr().out.split("\n\n", 1)
    explained = [line.split("  ")[0] for line in legend.splitlines()]
    for column in re.split(r" {2,}", table.splitlines()[0].strip()):
        assert {"held": "held, to", "to": "held, to"}.get(column, column) in explained
    assert ("<=" in table) == ("<=" in explained)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clients", "many"], "--clients: 'many' is not a number of clients; write 500, or 50,500,5000"),
        (["--clients", "0"], "--clients: must be more than 0"),
        (["--clients", "9999999999"], "is not a number of clients"),
        (["--memory", "20M"], "--memory: '20M' could be read two ways"),
        (["--memory", "1kB"], "memory: 1kB is too little; the least is 192KiB"),
        (["--rtt", "0"], "--rtt: must be more than 0"),
        (["--rtt", "fast"], "--rtt: 'fast' is not a time"),
        (["--rate", "fast"], "--rate: 'fast' is not a rate"),
        (["--mix", "quic=1"], "--mix: there is no kind 'quic'; there are clear, tls"),
        (["huge.csv"], "CLIENTS: 'huge.csv' is not a number of clients; write 500, or 50,500,5000"),
        (["64MiB"], "CLIENTS: '64MiB' is not a number of clients; write --memory 64MiB, or a number such as 500"),
        (["0"], "CLIENTS: must be more than 0"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.startswith("freight: "), err.count("\n")) == (True, 1)
    assert said in err
