"""A row for each client in the output."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many of the clients work as they are."""
    rows = [
        (*report.nodeid.partition("[")[2].rstrip("]").split("-"), report.outcome, report.duration)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if report.when == "call" and "clients/test_clients.py::test_a_client_" in report.nodeid
    ]
    if not rows:
        return
    terminalreporter.section("clients, unmodified")
    for client, mode, outcome, took_s in sorted(rows):
        terminalreporter.write_line(f"{client:8} {mode:9} {outcome} in {took_s:.1f} s")
    passed = sum(outcome == "passed" for _, _, outcome, _ in rows)
    terminalreporter.write_line(f"{passed} of {len(rows)}")
