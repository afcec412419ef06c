"""The tiers, fast, slow (``./scripts/test --all``) and nightly, and the tests that run alone on the machine.

A key is a prefix of a test's id as pytest prints it, without ``tests/``. The longest matching prefix decides.
A test that needs a program of ``SLOW_PROGRAMS`` or a package of ``SLOW_PACKAGES``, which are installed for ``--all``
only, is slow in any case.
A test that needs a client of ``real_clients.NIGHTLY``, which are installed for ``--nightly`` only, is nightly.
So is a test that needs a package of ``NIGHTLY_PACKAGES``: there are faster tests of the same kind.
"""

from __future__ import annotations

from collections.abc import Set

from support import real_clients

TIERS = ("fast", "slow", "nightly")

SLOW_PROGRAMS = frozenset({"caddy", "chromium", "docker-compose", "envoy", "kubernetes-validate", "postgres"})
SLOW_PACKAGES = frozenset({"_duckdb", "django", "fastapi", "flask", "gunicorn", "pandas", "psycopg", "uvicorn"})

SLOW = {
    "clients/test_http2_programs.py::test_h2load_gets_all_responses[h2-16]": True,
    "clients/test_http2_programs.py::test_h2load_gets_all_responses[h2c-16]": True,
    "tools/fleet/test_engines.py": True,
    "tools/fleet/test_http3_front.py": True,
    "tools/fleet/test_losses.py": True,
    "tools/fleet/test_page_caches.py": True,
    "tools/lab/test_lab_report.py": True,
    "tools/lab/test_lab_report.py::test_a_mistake_is_one_line_before_anything_is_measured": False,
    "tools/lab/test_lab_report.py::test_nothing_that_was_started_outlives_a_lab_that_is_ended[SIGTERM]": False,
    "tools/lab/test_lab_report.py::test_scenarios_are_listed_without_measuring": False,
    "tools/lab/test_lab_report.py::test_without_matplotlib_it_says_how_to_get_it": False,
    "load/": True,
    # One test of each bound of memory, and one negative control.
    "load/test_multiplexed_promise.py::test_500_stalled_streams_keep_within_the_memory[h2c-their w": False,
    "load/test_promise.py::test_500_downloads_run_in_20_mb[loopback]": False,
    "load/test_promise_tls.py::test_500_stalled_downloads_run_in_30_mb[1]": False,
    "load/test_promise_workers.py::test_500_downloads_run_in_20_mb_of_two_workers": False,
    "load/test_turns.py::test_a_small_response_does_not_wait_for_huge_ones[/small.csv-700kB-40]": False,
    "load/test_turns.py::test_a_queued_request_whose_client_disconnects_leaves_the_queue_at_once": False,
    "load/test_negative_controls.py::test_a_load_generator_reports": False,
    "server/test_h2spec.py": True,
    "server/test_h2spec.py::test_a_case_of_h2spec[('a file', False)": False,
    "server/test_h2spec.py::test_a_case_of_h2spec[('a file', True)": False,
    "server/test_handover.py::test_200_downloads_and_a_loop_of_connections_live_through_10_upgrades": True,
    "server/test_large.py::test_a_listing_of_100000_entries_delays_nobody": True,
    "test_bench_ranges.py::test_a_quick_run": True,
    "test_transcripts.py::test_a_page_shows_what_its_commands_print": True,
    "test_transcripts.py::test_a_page_shows_what_its_commands_print[docs/how-to/configure.md]": False,
    "test_transcripts.py::test_a_page_shows_what_its_commands_print[docs/reference/exit-status.md]": False,
    "test_transcripts.py::test_the_readme_is_right_with_packages_from_an_index": True,
    "test_transcripts.py::test_the_tutorial_is_right_for_an_installed_package": True,
    "test_time_limits.py::test_a_run_in_one_process_ends_and_names_the_test": True,
    "views/": True,
}

NIGHTLY_PACKAGES = frozenset({"daphne", "granian", "hypercorn", "waitress"})

NIGHTLY = {
    "clients/nightly/": True,
    "library/test_exports.py::test_a_query_of_duckdb_is_exported_in_flat_memory[/measurements.arrows-5": True,
    "library/test_exports.py::test_a_query_of_duckdb_is_exported_in_flat_memory[/measurements.parquet-5": True,
    "library/test_exports.py::test_a_table_of_postgresql_is_exported_in_flat_memory[5": True,
}

ALONE = {
    "tools/fleet/test_page_caches.py": True,
    "tools/loadgen/test_gauge.py": True,
    "tools/lab/test_lab_report.py": True,
    "load/": True,
    # Load elsewhere on the machine changes the weights, which must become equal.
    "server/test_balanced.py::test_the_balancer_does_not_notice_a_hand_over": True,
    # Its flood must be fast.
    "server/test_debts.py::test_behind_a_proxy_the_named_client_owes": True,
    "server/test_large.py": True,
}


def decide(table: dict[str, bool], name: str) -> bool:
    """Return the value of the longest prefix of a test's id; False without one."""
    prefixes = [prefix for prefix in table if name.startswith(prefix)]
    return bool(prefixes) and table[max(prefixes, key=len)]


def tier_of(name: str, needed: Set[str]) -> str:
    """Return the tier of a test, by its id without ``tests/`` and the programs and packages that it needs."""
    if needed & (real_clients.NIGHTLY | NIGHTLY_PACKAGES) or decide(NIGHTLY, name):
        return "nightly"
    return "slow" if needed & (SLOW_PROGRAMS | SLOW_PACKAGES) or decide(SLOW, name) else "fast"


def may_have(table: dict[str, bool], file: str, wanted: bool) -> bool:
    """Return whether a file, by its name without ``tests/``, may have a test whose value in the table is ``wanted``."""
    return decide(table, file) is wanted or any(
        value is wanted for prefix, value in table.items() if prefix.startswith(file)
    )
