"""Which tests run only when all are asked for (``./scripts/test --all``), and which have the machine for themselves.

A test is known by its name as pytest prints it, without ``tests/``: the longest beginning of it that is here counts.
A test that needs a program of ``LATER``, which is installed for ``--all`` only, is slow, whatever stands here.
"""

from __future__ import annotations

LATER = frozenset({"caddy", "chromium", "docker-compose", "envoy", "kubernetes-validate"})

SLOW = {
    "clients/test_http2_programs.py::test_h2load_has_all_it_asks_for[h2-16]": True,
    "clients/test_http2_programs.py::test_h2load_has_all_it_asks_for[h2c-16]": True,
    "fleet/test_engines.py": True,
    "fleet/test_http3_front.py": True,
    "fleet/test_losses.py": True,
    "fleet/test_page_caches.py": True,
    "lab/test_lab_report.py": True,
    "lab/test_lab_report.py::test_a_mistake_is_one_line_before_anything_is_measured": False,
    "lab/test_lab_report.py::test_nothing_that_was_started_outlives_a_lab_that_is_ended[SIGTERM]": False,
    "lab/test_lab_report.py::test_scenarios_are_listed_without_measuring": False,
    "lab/test_lab_report.py::test_without_matplotlib_it_says_how_to_get_it": False,
    "load/": True,
    # Of each kind of promise one, and that they could be seen to fail.
    "load/test_multiplexed_promise.py::test_500_streams_that_stand_still_keep_within_the_memory[h2c-their w": False,
    "load/test_promise.py::test_500_downloads_run_in_20_mb[loopback]": False,
    "load/test_promise_tls.py::test_500_downloads_that_stand_still_run_in_30_mb[1]": False,
    "load/test_promise_workers.py::test_500_downloads_run_in_20_mb_of_two_workers": False,
    "load/test_turns.py::test_a_small_answer_does_not_stand_behind_giants[/small.csv-700kB-40]": False,
    "load/test_turns.py::test_one_that_waits_and_goes_leaves_its_place_at_once": False,
    "load/test_witnesses.py::test_a_crowd_sees": False,
    "server/test_h2spec.py": True,
    "server/test_h2spec.py::test_a_case_of_h2spec[('a file', False)": False,
    "server/test_h2spec.py::test_a_case_of_h2spec[('a file', True)": False,
    "server/test_handover.py::test_200_downloads_and_a_loop_of_connections_live_through_10_upgrades": True,
    "server/test_large.py::test_a_listing_of_100000_entries_keeps_nobody_waiting": True,
    "test_transcripts.py::test_a_page_shows_what_its_commands_print": True,
    "test_transcripts.py::test_a_page_shows_what_its_commands_print[docs/how-to/configure.md]": False,
    "test_transcripts.py::test_a_page_shows_what_its_commands_print[docs/reference/exit-status.md]": False,
    "test_transcripts.py::test_the_readme_is_right_where_everything_is_fetched_from_an_index": True,
    "test_transcripts.py::test_the_tutorial_is_right_where_freight_is_an_installed_package": True,
    "views/": True,
}

ALONE = {
    "fleet/test_page_caches.py": True,
    "lab/test_lab_gauge.py": True,
    "lab/test_lab_report.py": True,
    "load/": True,
    "server/test_balanced.py::test_a_hand_over_is_nothing_that_the_balancer_sees": True,  # whole percents
    "server/test_debts.py::test_behind_a_proxy_it_is_the_true_client_that_owes": True,  # its flood has to be fast
    "server/test_large.py": True,
}


def decide(table: dict[str, bool], name: str) -> bool:
    """Return what a table says of a test."""
    beginnings = [beginning for beginning in table if name.startswith(beginning)]
    return bool(beginnings) and table[max(beginnings, key=len)]


def may_have(table: dict[str, bool], file: str, wanted: bool) -> bool:
    """Return whether a file, by its name without ``tests/``, may have a test of which a table says ``wanted``."""
    return decide(table, file) is wanted or any(
        said is wanted for beginning, said in table.items() if beginning.startswith(file)
    )
