"""Grafana's dashboard and Prometheus's alert rules use metrics that a running server has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from support.processes import run
from support.servers import Serve, find_program

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "src" / "freight" / "tools" / "deploy"
BOARD = DEPLOY / "grafana" / "freight.json"
RULES = DEPLOY / "prometheus" / "freight.rules.yml"
METRIC = re.compile(r"\bfreight_\w+")
LABELS = re.compile(r"\{([^{}]*)\}")


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(BOARD.read_text(encoding="utf-8"))
    return read


@pytest.fixture
def scraped(tmp_path: Path, serve: Serve) -> str:
    """Return the metrics of a running server. With workers it has every metric."""
    (tmp_path / "file").write_bytes(b"x")
    text: str = serve(tmp_path, "--workers", "2", admin=True).ask_admin("/metrics").content.decode()
    return text


def strings(value: Any) -> Iterator[str]:
    """Yield all strings in a JSON value."""
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from strings(each)
        case dict():
            for each in value.values():
                yield from strings(each)


def test_every_metric_in_use_exists(board: dict[str, Any], scraped: str) -> None:
    existing = set(re.findall(r"^(freight_\w+)", scraped, re.MULTILINE))
    for text in ("\n".join(strings(board)), RULES.read_text(encoding="utf-8")):
        used = set(METRIC.findall(text))
        assert len(used) > 8
        assert used <= existing


def test_every_reason_in_the_rules_exists(scraped: str) -> None:
    reasons = set(re.findall(r'freight_transfers_aborted_total\{reason="([\w-]+)"\}', scraped))
    used = re.findall(r'reason=~?"([^"]+)"', RULES.read_text(encoding="utf-8"))
    assert len(used) >= 3
    for pattern in used:
        assert set(pattern.split("|")) <= reasons


def test_the_dashboard_shows_every_metric_but_three(board: dict[str, Any], scraped: str) -> None:
    existing = set(re.findall(r"^(freight_\w+)", scraped, re.MULTILINE)) - {"freight_transfers_running"}
    existing -= {"freight_admission_express_running", "freight_start_time_seconds"}
    assert existing <= set(METRIC.findall("\n".join(strings(board))))


def test_panels_have_unique_ids_and_do_not_overlap(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 10
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y


def test_every_query_uses_the_chosen_source_and_the_chosen_instances(board: dict[str, Any]) -> None:
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "instance"]
    assert board["id"] is None  # Grafana assigns it at the import
    for panel in board["panels"]:
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert panel["datasource"] == target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            selectors = LABELS.findall(target["expr"])
            assert len(selectors) == len(METRIC.findall(target["expr"]))
            assert set(selectors) == {'instance=~"$instance"'}


def test_no_panel_has_two_units(board: dict[str, Any]) -> None:
    """A rate per second and a count do not share an axis."""
    for panel in board["panels"]:
        if panel["type"] == "timeseries":
            rates = {re.search(r"\brate\(freight_(?!time_)", target["expr"]) is not None for target in panel["targets"]}
            assert len(rates) == 1, panel["title"]
            # Seconds per second are a number of downloads. Every other rate has a unit of a rate.
            assert (panel["fieldConfig"]["defaults"]["unit"] in ("Bps", "ops", "reqps")) == rates.pop(), panel["title"]


def test_totals_of_all_servers_come_first_and_each_server_has_a_link_to_its_admin_page(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        by_kind = {"stat": 0, "table": 1, "timeseries": 2}
        assert panel["type"] in by_kind
        if panel["type"] == "stat":
            assert all(re.match(r"(sum|count|max)\(", target["expr"]) for target in panel["targets"])
        elif any("{{instance}}" in target["legendFormat"] for target in panel["targets"]):
            (link,) = panel["fieldConfig"]["defaults"]["links"]
            assert link["url"] == "http://${__field.labels.instance}/"
    (table,) = (panel for panel in board["panels"] if panel["type"] == "table")
    servers = table["fieldConfig"]["overrides"][0]
    assert servers["matcher"]["options"] == "Server"
    assert servers["properties"][0]["value"][0]["url"] == "http://${__value.text}/"
    order = [by_kind[panel["type"]] for panel in board["panels"]]
    assert order == sorted(order)


def test_every_alert_has_a_severity_and_says_what_to_do() -> None:
    alerts = re.split(r"^ +- alert: ", RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    tested = (RULES.with_name("freight.test.yml")).read_text(encoding="utf-8")
    assert len(alerts) >= 5
    for alert in alerts:
        name = alert.split("\n", 1)[0]
        assert re.search(r"severity: (critical|warning)\n", alert), name
        assert "summary: " in alert and "description: " in alert, name
        assert re.search(rf"\b{name}\b", tested), f"{name} has no test"
    for option in set(re.findall(r"--[a-z-]+", "".join(alerts))):
        assert f"## {option}\n" in (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8"), option


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [find_program("promtool") or "promtool", *arguments]
    return run(*command, cwd=cwd)


def expressions(board: dict[str, Any]) -> list[str]:
    """Return every query of the dashboard, as Grafana sends it for all instances and a range of 5 minutes."""
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [marks["expr"] for marks in board["annotations"]["list"] if "expr" in marks]
    return [each.replace("$instance", ".*").replace("$__rate_interval", "5m") for each in queries]


@pytest.mark.needs("promtool")
def test_prometheus_accepts_every_query_of_the_dashboard(board: dict[str, Any], tmp_path: Path) -> None:
    queries = expressions(board)
    assert len(queries) > 30
    rules = [{"record": f"freight:query_{number}", "expr": expr} for number, expr in enumerate(queries)]
    # JSON is valid YAML.
    text = json.dumps({"groups": [{"name": "queries", "rules": rules}]})
    (tmp_path / "queries.yml").write_text(text, encoding="utf-8")
    checked = promtool("check", "rules", "queries.yml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(queries)} rules found" in checked.stdout


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("servers", [1, 3])
def test_a_total_is_drawn_for_several_servers_and_not_for_one(
    board: dict[str, Any], tmp_path: Path, servers: int
) -> None:
    """For one server the total would be the same line twice."""
    (running,) = (expr for expr in expressions(board) if "sum(freight_admission_running" in expr and "count(" in expr)
    names = "abc"[:servers]
    series = [{"series": f'freight_admission_running{{instance="{name}"}}', "values": "7x5"} for name in names]
    expected = [] if servers == 1 else [{"labels": "{}", "value": 7 * servers}]
    case = {"expr": running, "eval_time": "3m", "exp_samples": expected}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [case]}
    (tmp_path / "total.yml").write_text(json.dumps({"tests": [test]}), encoding="utf-8")
    tested = promtool("test", "rules", "total.yml", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.needs("promtool")
def test_prometheus_accepts_the_rules_and_they_pass_their_tests(tmp_path: Path) -> None:
    checked = promtool("check", "rules", RULES.name, cwd=RULES.parent)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "freight.test.yml", cwd=RULES.parent)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("threshold", "another"),
    [
        ("> 0.9 * freight_memory_budget_bytes", "> 1.9 * freight_memory_budget_bytes"),
        ("and freight_admission_waiting > 0", ""),
        ("oldest_wait_seconds > 20", "oldest_wait_seconds > 2"),
        ("> 0.2 * sum", "> 0.05 * sum"),
        ('reason=~"error|short-read"', 'reason=~"peer-gone"'),
        ("- 10485760", "- 104857600"),
        ("increase(freight_workers_restarts_total[10m]) > 0", "freight_workers_restarts_total > 0"),
    ],
)
def test_the_tests_of_the_rules_fail_after_a_change_of_a_rule(tmp_path: Path, threshold: str, another: str) -> None:
    text = RULES.read_text(encoding="utf-8")
    assert threshold in text
    (tmp_path / RULES.name).write_text(text.replace(threshold, another), encoding="utf-8")
    shutil.copy(RULES.with_name("freight.test.yml"), tmp_path)
    assert promtool("test", "rules", "freight.test.yml", cwd=tmp_path).returncode == 1


@pytest.mark.needs("promtool")
def test_prometheus_accepts_the_metrics_of_a_server(scraped: str) -> None:
    command = [find_program("promtool") or "promtool", "check", "metrics"]
    checked = run(*command, input=scraped)
    assert checked.returncode in (0, 3), checked.stderr  # 3: advice about names
    assert "error" not in checked.stderr
