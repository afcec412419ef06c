"""The benchmark's report: no figure in a page is typed by hand, and every bar says yes or no."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.__main__ import SCENARIOS
from benchmarks.bars import BARS
from benchmarks.columns import COLUMNS
from benchmarks.drive import interleave
from benchmarks.figure import PANELS, price_of_the_bound
from benchmarks.peers import AIOHTTP, CADDY, NGINX, OTHERS, SECURE, freight, http2, https
from benchmarks.report import BLOCK, BLOCKS, PAGES, RESULTS, ROOT, bars, block, number, rewrite, show
from benchmarks.results import Result, load
from benchmarks.sharing import OVERSOLD, SCARCE
from benchmarks.summary import compared, lost, metric

KEY, OF_MACHINE = "gb_per_cpu_second", "gb_per_cpu_second_of_the_machine"
MACHINE = {"cpu": "a", "cores": 2, "memory_bytes": 1 << 30, "kernel": "6.1", "python": "3.11.2", "sysctl": {}}


def sample(peer: str, value: float, *, turn: int, number: int = 0, case: str = "64", key: str = KEY) -> dict[str, Any]:
    return {"round": number, "turn": turn, "case": case, "peer": peer, key: value}


def written(folder: Path, scenario: str, samples: list[dict[str, Any]], **more: Any) -> dict[str, Result]:
    peers = {name: {"version": "1.0", "command": f"{name} $root"} for name in dict.fromkeys(s["peer"] for s in samples)}
    content = {
        "scenario": scenario,
        "rounds": 1,
        "machine": MACHINE,
        "peers": peers,
        "excluded": {},
        "samples": samples,
    }
    (folder / f"{scenario}.json").write_text(json.dumps(content | more))
    return load(folder)


def test_a_ratio_is_taken_over_the_nearest_turns_before_and_after_in_the_same_round(tmp_path: Path) -> None:
    turns = [("nginx", 100.0), ("nginx", 4.0), ("freight", 10.0), ("nginx", 6.0), ("nginx", 100.0)]
    samples = [sample(peer, value, turn=turn) for turn, (peer, value) in enumerate(turns)]
    samples += [sample("nginx", 10.0, turn=0, number=1), sample("freight", 5.0, turn=1, number=1)]
    result = written(tmp_path, "throughput", samples)["throughput"]
    assert result.paired("freight", "nginx", "64", KEY) == [2.0, 0.5]


def test_a_turn_that_failed_counts_for_nothing(tmp_path: Path) -> None:
    failed = {"round": 0, "turn": 1, "case": "64", "peer": "freight", "error": "refused"}
    result = written(tmp_path, "throughput", [sample("nginx", 4.0, turn=0), failed])["throughput"]
    assert result.values("freight", "64", KEY) == []
    assert result.paired("freight", "nginx", "64", KEY) == []


def test_a_table_shows_the_median_and_the_spread_and_the_excluded_servers(tmp_path: Path) -> None:
    samples = [sample("nginx", value, turn=0, number=number) for number, value in enumerate((8.0, 9.0, 12.0))]
    results = written(tmp_path, "throughput", samples, excluded={"caddy": "caddy is not installed"})
    text = block("throughput-64", results)
    assert text is not None
    assert "9.00 (8.00-12.00)" in text
    assert "caddy (caddy is not installed)" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_a_table_says_the_tls_suite_and_the_servers_that_used_another(tmp_path: Path) -> None:
    peers = [("nginx", "TLSv1.3 A"), ("freight", "TLSv1.3 A"), ("caddy", "TLSv1.3 B")]
    samples = [sample(peer, 1.0, turn=turn) | {"cipher": cipher} for turn, (peer, cipher) in enumerate(peers)]
    text = block("tls-16", written(tmp_path, "tls", samples))
    assert text is not None and "TLS was TLSv1.3 A, caddy by TLSv1.3 B." in text


def test_a_page_keeps_its_text_and_gets_new_figures(tmp_path: Path) -> None:
    page = "before\n<!-- bench:throughput-64 -->\nold 1.23\n<!-- /bench:throughput-64 -->\nafter\n"
    results = written(tmp_path, "throughput", [sample("nginx", 9.0, turn=0)])
    once = rewrite(page, results)
    assert once.startswith("before\n<!-- bench:throughput-64 -->\n| server |")
    assert once.endswith("<!-- /bench:throughput-64 -->\nafter\n")
    assert "old" not in once
    assert rewrite(once, results) == once


def test_an_unknown_block_is_left_as_it_is() -> None:
    page = "<!-- bench:weather -->\nfine\n<!-- /bench:weather -->\n"
    assert rewrite(page, {}) == page


@pytest.mark.parametrize(("value", "word"), [(0.7, "yes"), (0.69, "**no**")])
def test_a_bar_is_kept_at_its_limit_and_not_below(tmp_path: Path, value: float, word: str) -> None:
    samples = [sample("nginx", 1.0, turn=0, case="500"), sample("freight", value, turn=1, case="500")]
    row = next(line for line in bars(written(tmp_path, "throughput", samples)).splitlines() if "0.7x nginx" in line)
    assert row.split(" | ")[-1].strip(" |") == word


@pytest.mark.parametrize(("rounds", "word"), [((500, 500, 500), "yes"), ((500, 499, 500), "**no**")])
def test_a_limit_for_every_time_is_judged_by_the_worst_round(
    tmp_path: Path, rounds: tuple[int, ...], word: str
) -> None:
    samples = [
        sample("freight 20MB", value, turn=0, number=number, case="veth", key="right")
        for number, value in enumerate(rounds)
    ]
    row = next(line for line in bars(written(tmp_path, "budget", samples)).splitlines() if "veth: every byte" in line)
    assert row.split(" | ")[-1].strip(" |") == word


def test_a_failed_turn_does_not_count_as_right(tmp_path: Path) -> None:
    failed = {"round": 1, "turn": 0, "case": "veth", "peer": "freight 20MB", "error": "no download began"}
    samples = [sample("freight 20MB", 500, turn=0, case="veth", key="right"), failed]
    row = next(line for line in bars(written(tmp_path, "budget", samples)).splitlines() if "veth: every byte" in line)
    assert row.split(" | ")[-1].strip(" |") == "**no**"


@pytest.mark.parametrize(("share", "word"), [(1.0, "yes"), (1.01, "**no**")])
def test_one_reading_above_one_budget_misses_the_bar_of_all(tmp_path: Path, share: float, word: str) -> None:
    samples = [
        sample("freight 20MB", share, turn=0, case="64 + 100 stalled", key="share_of_budget"),
        *(sample("freight 4GiB", 0.2, turn=1, number=number, case="500", key="share_of_budget") for number in range(3)),
        sample("nginx", 9.0, turn=2, case="500"),
    ]
    row = next(
        line for line in bars(written(tmp_path, "price", samples)).splitlines() if "any reading of any budget" in line
    )
    assert row.split(" | ")[-1].strip(" |") == word


def test_rates_are_judged_by_the_case_that_is_farthest_off(tmp_path: Path) -> None:
    samples = [
        sample("freight --rate-limit 100MB/s", 0.02, turn=0, case="1", key="off"),
        sample("freight --client-rate-limit 10MB/s", 0.12, turn=0, case="8", key="off"),
    ]
    row = next(line for line in bars(written(tmp_path, "rates", samples)).splitlines() if "Rates" in line)
    assert "12%" in row and "**no**" in row


def test_a_network_that_cannot_be_made_is_left_out_by_name(tmp_path: Path) -> None:
    samples = [sample("freight 20MB", 500, turn=0, case="loopback", key="downloads")]
    text = block("budget-veth", written(tmp_path, "budget", samples, excluded={"veth": "ip is not installed"}))
    assert text is not None and "Left out: veth (ip is not installed)." in text


def test_every_table_of_a_page_is_known_and_every_known_table_has_its_place() -> None:
    named = [match["name"] for page in PAGES for match in BLOCK.finditer(page.read_text())]
    assert sorted(named) == sorted({*COLUMNS, *BLOCKS})
    assert all(block(name, {}) for name in named)


def test_every_page_shows_what_was_measured() -> None:
    results = load(RESULTS)
    assert [page.name for page in PAGES if rewrite(page.read_text(), results) != page.read_text()] == []


def test_every_scenario_has_a_table_and_is_described() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text()
    # The first has no servers, and the second a table of its own kind.
    assert set(SCENARIOS) == {"fields", "attack", *(name.partition("-")[0] for name in COLUMNS)}
    assert all(f"| {name} | " in text for name in SCENARIOS)


@pytest.mark.parametrize(("value", "word"), [(36 * 1024, "yes"), (36 * 1024 + 1, "**no**")])
def test_a_ceiling_is_kept_at_its_limit_and_not_above(tmp_path: Path, value: int, word: str) -> None:
    samples = [sample("freight 20MB", value, turn=0, case="500", key="kernel_bytes_per_client")]
    row = next(line for line in bars(written(tmp_path, "stalled", samples)).splitlines() if "stalled" in line)
    assert row.split(" | ")[-1].strip(" |") == word


def test_a_bar_that_was_not_measured_is_neither_kept_nor_missed() -> None:
    assert {bar.holds({}) for bar in BARS} == {None}
    assert bars({}).count("not measured") == len(BARS)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.9091, "0.909"), (27.31, "27.3"), (336.2, "336"), (2000, "2,000"), (1e4, "10,000"), (0, "0")]
)
def test_a_number_is_three_digits_or_a_whole_one_and_never_a_power(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_front_page_says_where_another_server_is_better_and_only_there(tmp_path: Path) -> None:
    for key, words in (("gb_per_second", "times as fast"), (OF_MACHINE, "times as much per CPU-second of the machine")):
        slower = [
            sample("nginx", 9.0, turn=0, case="500", key=key),
            sample("freight", 6.0, turn=1, case="500", key=key),
        ]
        assert f"1.5 {words}" in lost(written(tmp_path, "throughput", slower))
        better = [
            sample("nginx", 9.0, turn=0, case="500", key=key),
            sample("freight", 9.5, turn=1, case="500", key=key),
        ]
        assert "nowhere" in lost(written(tmp_path, "throughput", better))


def test_the_front_page_does_not_compare_cpu_time_of_the_server_alone(tmp_path: Path) -> None:
    samples = [sample("nginx", 9.0, turn=0, case="500"), sample("freight", 6.0, turn=1, case="500")]
    results = written(tmp_path, "throughput", samples)
    assert "nowhere" in lost(results)
    assert "9.00" not in compared(results)


def test_the_machines_figure_is_explained_in_two_sentences_with_what_each_server_is_charged_for(tmp_path: Path) -> None:
    charged = [
        sample(peer, of_machine, turn=turn, case="500", key=OF_MACHINE) | {KEY: of_server}
        for turn, (peer, of_machine, of_server) in enumerate((("nginx", 4.0, 10.0), ("freight", 6.0, 8.0)))
    ]
    text = metric(written(tmp_path, "throughput", charged))
    assert "(of the machine's CPU time with 500 clients, nginx is charged 40% and freight is charged 75%)" in text
    for said in (text, metric({})):
        assert said.count(". ") + said.count(".\n") == 2
    assert "%" not in metric({})


def test_a_table_of_speed_has_throughput_and_the_machine_before_the_server(tmp_path: Path) -> None:
    for name in ("throughput-500", "tls-16", "workers", "price-500-stalled"):
        scenario = name.partition("-")[0]
        text = block(name, written(tmp_path, scenario, [sample("nginx", 1.0, turn=0)]))
        assert text is not None
        titles = [title for title in text.splitlines()[0].strip("| ").split(" | ") if not title.startswith("x ")]
        assert titles[1:4] == ["GB/s", "GB per CPU-s of the machine", "GB per CPU-s of the server"]


def test_a_run_prints_the_tables_of_speed_that_it_has_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "throughput", [sample("nginx", 4.5, turn=0, key="gb_per_second")])
    show(tmp_path, ["throughput", "start"])
    printed = capsys.readouterr().out
    assert metric({}) in printed and "throughput-64:" in printed and "4.50 (4.50-4.50)" in printed
    show(tmp_path, ["start"])
    assert "throughput-64:" not in capsys.readouterr().out


def test_the_front_page_has_a_dash_for_what_was_not_measured(tmp_path: Path) -> None:
    samples = [sample("nginx", 0.009, turn=0, case="1", key="first_byte_seconds")]
    (row,) = (line for line in compared(written(tmp_path, "start", samples)).splitlines() if "first byte" in line)
    assert row == "| first byte after the command | - | 9 ms | - | - |"


def test_the_figure_has_a_line_for_each_number_of_clients_and_a_mark_for_each_budget(tmp_path: Path) -> None:
    samples = []
    for case in ("64", "500"):
        for turn, (peer, value) in enumerate(
            (("nginx", 9.0), ("freight 20MB", 6.0), ("nginx", 9.0), ("freight 4GiB", 8.0))
        ):
            figures = {key: value for _, key in PANELS}
            samples.append(sample(peer, value, turn=turn, case=case) | figures)
    drawing = price_of_the_bound(written(tmp_path, "price", samples)["price"])
    assert drawing.count("<circle") == 4 * len(PANELS)
    assert all(title in drawing for title, _ in PANELS)
    assert all(words in drawing for words in ("64 clients", "500 clients", "20MB", "4GiB"))


def test_no_command_that_is_recorded_names_a_path_of_this_machine() -> None:
    secure = [spoken for peer in (NGINX, freight(), *SECURE) for spoken in (https(peer), http2(https(peer)))]
    for peer in (NGINX, freight("4GiB"), OVERSOLD, SCARCE, *OTHERS, *secure):
        words = [*peer.command, *peer.build, *peer.env.values(), *peer.files.values()]
        assert not [word for word in words if word.startswith("/") or str(Path.home()) in word]


def test_a_close_peer_has_the_reference_before_and_after_it() -> None:
    near = freight()
    assert interleave(NGINX, [NGINX, near, CADDY, AIOHTTP], {near.name}) == [NGINX, near, NGINX, CADDY, AIOHTTP, NGINX]


def test_without_the_reference_every_peer_has_one_turn() -> None:
    assert interleave(NGINX, [freight(), CADDY], {"freight"}) == [freight(), CADDY]
