"""The table at the end of a run. Its hook is registered by tests/conftest.py: where tests run in
several processes, the one that prints loads no conftest further down."""

from __future__ import annotations

import pytest

from tests.interop.table import PROPERTY, Row, render
from tests.support.peer_site import PEER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for kind in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(kind, [])
        if isinstance(report, pytest.TestReport) and report.nodeid.startswith("tests/interop/")
    ]
    rows = [
        Row(**value)
        for report in reports
        for name, value in report.user_properties
        if report.when == "call" and name == PROPERTY and isinstance(value, dict)
    ]
    reasons = {
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in reports
        if isinstance(report.longrepr, tuple)
    }
    if rows or reasons:
        terminalreporter.section(f"interoperability with {PEER}")
    for line in render(sorted(rows, key=lambda row: row.number)) if rows else []:
        terminalreporter.write_line(line)
    for reason in sorted(reasons):
        terminalreporter.write_line(f"not run: {reason}")
