"""Exports from databases: right, in flat memory, at the client's pace, and cancelled when the client goes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from freight.tools.loadgen.gauge import memory_of
from support.examples import RunningExample, running_example
from support.postgresql import PostgreSql, postgresql
from support.processes import descriptor_targets
from support.servers import Client, IncompleteResponse, wait_until

MB = 1_000_000
MOST_GROWTH = 16 * MB
"""How much a process may grow by an export of any size; the exports of the tests are larger."""

MOST_GROWTH_DUCKDB = 100 * MB
"""The same with DuckDB: 32 MB of its pages, and buffers of DuckDB, Arrow and Parquet in each thread: 83 MB once."""

POSTGRESQL = pytest.mark.needs("postgres", "psycopg")
DUCKDB = pytest.mark.needs("_duckdb")  # the module in duckdb; "duckdb" itself is a client of the nightly tests


def chunks(client: Client) -> Iterator[bytes]:
    """Yield the chunks of a response whose head has been read."""
    while size := int(client.read_line(), 16):
        yield client.read_exactly(size)
        assert client.read_exactly(2) == b"\r\n"
    assert client.read_exactly(2) == b"\r\n"


@contextmanager
def download(example: RunningExample, target: str) -> Iterator[Client]:
    """Start a download, and read the head of the response."""
    with example.connect() as client:
        client.get(target)
        status, fields = client.read_head()
        assert (status, fields["transfer-encoding"]) == (200, "chunked")
        assert fields["content-disposition"] == f'attachment; filename="{target[1:]}"'
        yield client


@dataclass
class Growth:
    """How much a process has grown at most, in bytes."""

    pid: int
    before: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        self.before = memory_of(self.pid).written

    def measure(self) -> None:
        """Measure now."""
        self.peak = max(self.peak, memory_of(self.pid).written - self.before)


def received(example: RunningExample, target: str, into: Any) -> int:
    """Write what a download receives. Return how much the process has grown meanwhile, after a download before it."""
    with download(example, target) as client:
        client.read_exactly(100_000)
    growth, total, measured = Growth(example.pid), 0, 0
    with download(example, target) as client:
        for chunk in chunks(client):
            into(chunk)
            total += len(chunk)
            if total - measured > 2 * MB:
                growth.measure()
                measured = total
    assert total > MOST_GROWTH
    return growth.peak


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server, its table ``measurements``, and the example that exports it."""

    server: PostgreSql
    example: RunningExample

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        import psycopg

        with psycopg.connect(self.server.dsn) as connection:
            return connection.execute(query).fetchall()

    def copied(self) -> list[tuple[Any, ...]]:
        """Return how far each running export is, and what it waits for."""
        return self.ask(
            "SELECT tuples_processed, wait_event FROM pg_stat_progress_copy JOIN pg_stat_activity USING (pid)"
        )


@contextmanager
def exporting(rows: int, options: str = "") -> Iterator[Database]:
    """Run PostgreSQL with a table of so many rows, and the example."""
    import psycopg

    with postgresql() as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute(
                "CREATE UNLOGGED TABLE measurements AS SELECT id, md5(id::text) AS digest, repeat('x', 50) AS note"
                f" FROM generate_series(1, {rows}) AS id"
            )
            connection.execute("CREATE SCHEMA broken")
            connection.execute(
                "CREATE VIEW broken.measurements AS SELECT id, 1/(190000 - id) AS value FROM measurements"
            )
        with running_example("export_postgresql.py", "0", server.dsn + options) as example:
            yield Database(server, example)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with exporting(200_000) as database:
        yield database


@POSTGRESQL
@pytest.mark.parametrize("rows", [200_000, 5_000_000])
def test_a_table_of_postgresql_is_exported_in_flat_memory(rows: int) -> None:
    expected, content = hashlib.sha256(b"id,digest,note\n"), hashlib.sha256()
    for number in range(1, rows + 1):
        line = f"{number},{hashlib.md5(b'%d' % number).hexdigest()},{'x' * 50}\n"
        expected.update(line.encode())
    with exporting(rows) as database:
        grown = received(database.example, "/measurements.csv", content.update)
    assert content.digest() == expected.digest()
    assert grown < MOST_GROWTH


@POSTGRESQL
def test_a_client_that_stops_reading_stops_the_query_and_one_that_goes_cancels_it(database: Database) -> None:
    with download(database.example, "/measurements.csv") as client:
        client.read_exactly(100_000)
        seen: list[list[tuple[Any, ...]]] = []

        def is_stopped() -> bool:
            seen.append(database.copied())
            waits = [wait for _, wait in seen[-1]] == ["ClientWrite"]
            return len(seen) > 10 and waits and seen[-10:] == [seen[-1]] * 10

        wait_until(is_stopped, "the query makes no progress, and waits for its client")
        ((copied, _),) = seen[-1]
        assert 0 < copied < 200_000
    wait_until(lambda: database.server.logged("canceling statement due to user request"), "the query is cancelled")
    wait_until(lambda: database.copied() == [], "no query runs")


@POSTGRESQL
def test_an_export_whose_query_fails_never_looks_complete() -> None:
    with (
        exporting(200_000, " options=-csearch_path=broken") as database,
        download(database.example, "/measurements.csv") as client,
        pytest.raises((IncompleteResponse, ConnectionResetError)),
    ):
        for _ in chunks(client):
            pass


@contextmanager
def analysing(folder: Path, rows: int) -> Iterator[tuple[Path, RunningExample]]:
    """Run the example that exports a database of DuckDB with a table of so many rows."""
    import duckdb

    path = folder / "lab.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute(f"CREATE TABLE measurements AS SELECT id, hash(id) AS a, hash(-id) AS b FROM range({rows}) AS t(id)")
        db.execute("UPDATE measurements SET a = a // 3")
    with running_example("export_duckdb.py", "0", str(path), urls=2) as example:
        yield path, example


@DUCKDB
@pytest.mark.parametrize("rows", [1_000_000, 5_000_000])
@pytest.mark.parametrize("target", ["/measurements.arrows", "/measurements.parquet"])
def test_a_query_of_duckdb_is_exported_in_flat_memory(tmp_path: Path, rows: int, target: str) -> None:
    import pyarrow
    import pyarrow.parquet

    content = io.BytesIO()
    with analysing(tmp_path, rows) as (_, example):
        grown = received(example, target, content.write)
    content.seek(0)
    read = pyarrow.ipc.open_stream(content).read_all if "arrows" in target else None
    table = read() if read else pyarrow.parquet.read_table(content)
    assert table["id"].to_pylist() == list(range(rows))
    assert grown < MOST_GROWTH_DUCKDB


@DUCKDB
def test_a_client_that_goes_ends_the_query_of_duckdb(tmp_path: Path) -> None:
    with analysing(tmp_path, 1_000_000) as (path, example):
        with download(example, "/measurements.arrows") as client:
            client.read_exactly(100_000)
            assert str(path) in descriptor_targets(example.pid)
        wait_until(lambda: str(path) not in descriptor_targets(example.pid), "the database is closed")
