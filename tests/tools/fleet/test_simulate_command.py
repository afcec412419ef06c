"""``freight fleet simulate`` on the command line: a table, JSON or a figure, and one clear line for every mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from freight.cli.main import main
from freight.memory.division import divide
from support.servers import run_python

SMALL = ["fleet", "simulate", "--nodes", "1,4", "--requests", "400", "--files", "200", "--cache", "2GB"]


def test_a_table_has_a_row_for_each_policy_says_what_a_node_is_and_fits_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*SMALL, "--policy", "round-robin,bounded", "--memory", "20MB"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = "nodes policy p50 p99 slowed refused hits disks/s links/s busy"
    assert lines[0].split() == heads.split(" ")
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["1", "round-robin"],
        ["1", "bounded"],
        ["4", "round-robin"],
        ["4", "bounded"],
    ]
    assert max(map(len, lines)) <= 80
    explained = {word for line in lines[6:] for word in line.split("  ")[0].split(", ")}
    assert set(lines[0].split()[2:]) <= explained  # all but what the request names itself
    assert f"({divide(20_000_000).slots} slots)" in " ".join(lines)


def test_json_has_the_question_and_rows_that_add_up_and_is_the_same_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--json"]) == main([*SMALL, "--json"]) == 0
    out = capsys.readouterr().out
    assert out[: len(out) // 2] == out[len(out) // 2 :]
    shown = json.loads(out[: len(out) // 2])
    assert shown["question"]["link"] == 125_000_000
    assert len(shown["rows"]) == 8
    for row in shown["rows"]:
        assert row["served"] + row["full"] + row["late"] == row["arrived"] > 250


def test_of_several_seeds_each_has_its_rows_which_are_those_of_it_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def rows(seeds: str) -> list[dict[str, object]]:
        assert main([*SMALL, "--policy", "bounded", "--seed", seeds, "--json"]) == 0
        return list(json.loads(capsys.readouterr().out)["rows"])

    both = rows("7,8")
    assert [(row["nodes"], row["seed"]) for row in both] == [(1, 7), (1, 8), (4, 7), (4, 8)]
    assert both[::2] == rows("7")
    assert both[0] != both[1] | {"seed": 7}
    assert main([*SMALL, "--seed", "7,8"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["nodes", "policy", "seed"]


def test_a_figure_has_a_description_for_screen_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fleet.svg"
    assert main([*SMALL, "--figure", str(file)]) == 0
    text = file.read_text()
    title = ElementTree.fromstring(text).find("{http://www.w3.org/2000/svg}title")
    assert title is not None and title.text == "A fleet of 1 to 4 nodes, by policy"
    assert all(policy in text for policy in ("round-robin", "least", "consistent", "bounded"))


def test_the_bare_group_has_its_manual_for_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "simulate  Predict" in err


def test_help_loads_neither_the_model_nor_what_draws() -> None:
    program = (
        "import sys; from freight.cli.main import main; main(['fleet', 'simulate', '--help']);"
        "print([n for n in sys.modules if n.startswith('freight.tools.fleet.simulate.') or n == 'matplotlib'])"
    )
    done = run_python("-c", program)
    assert done.stdout.splitlines()[-1] == "['freight.tools.fleet.simulate.command']"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "many"], "--nodes: 'many' is not a number of at most 20,000, such as 100"),
        (["--nodes", "0"], "--nodes: must be more than 0"),
        (["--nodes", "20001"], "--nodes: '20001' is not a number of at most 20,000"),
        (["--policy", "luck"], "--policy: there is no 'luck'; there are round-robin, least, consistent, bounded"),
        (["--size", "1M"], "--size: '1M' could be read two ways"),
        (["--zipf", "nan"], "--zipf: 'nan' is not a number such as 0.9"),
        (["--spread", "99"], "--spread: 99 is too large; the most is 5"),
        (["--clients", "fast=1"], "--clients: 'fast' is not a rate"),
        (["--clients", "1MB/s=0"], "--clients: '1MB/s=0' must be more than 0"),
        (["--memory", "1kB"], "memory: 1kB is too little; the least is 192KiB"),
        (["--chunk", "1kB"], "--chunk: 1kB is too small for files of 100MB; the least is 100kB"),
        (["--nodes", "10000", "--chunk", "1MB"], "--chunk: 1MB is too small for this much page cache; the least is"),
        (["--seed", "1,luck"], "--seed: 'luck' is not a number"),
        (["--figure", "fleet.png"], "--figure: 'fleet.png' does not end in .svg"),
        (["--figure", "/nowhere/fleet.svg"], "--figure: there is no directory '/nowhere'"),
        (["huge.csv"], "unexpected extra argument"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", "simulate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.startswith("freight: "), err.count("\n")) == (True, 1)
    assert said in err


def test_without_what_draws_a_figure_is_refused_before_anything_is_simulated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*SMALL, "--figure", str(tmp_path / "fleet.svg")]) == 2
    assert "--figure needs matplotlib, which is not installed; run: " in capsys.readouterr().err
