"""The table of features: its rows are those of the probes, and what it says of freight is true."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.feature_notes import READ
from benchmarks.feature_setups import SERVERS, freight_setups
from benchmarks.features import END, PAGE, ROWS, START, lay_out, read_table, table, try_server

TABLE = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]


def test_the_page_has_a_cell_for_each_server_and_probe() -> None:
    columns = read_table(TABLE)
    assert list(columns) == [*SERVERS, *READ]
    assert all(set(cells) == {"version", *ROWS} and all(cells[row] for row in ROWS) for cells in columns.values())
    assert all(set(cells) <= set(ROWS) for cells in READ.values())
    assert table(columns) == TABLE


@pytest.mark.needs("curl", "openssl")
@pytest.mark.parametrize("setup", dict.fromkeys(setup for setup, _ in ROWS.values()))
def test_freight_can_do_what_the_page_says(tmp_path: Path, setup: str) -> None:
    """It may do more than the page says."""
    said = {row: cell for row, cell in read_table(TABLE)["freight"].items() if cell != "no"}
    with lay_out(tmp_path) as site:
        found = try_server({name: peer for name, peer in freight_setups().items() if name == setup}, site)
    rows = [row for row, (needed, _) in ROWS.items() if needed == setup]
    assert {row: found[row] for row in rows if row in said} == {row: said[row] for row in rows if row in said}
