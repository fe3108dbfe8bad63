"""A control plane that is asked to end while its fork server still imports."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.support.pool import running_pool


def test_nobody_waits_for_imports_that_nobody_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    mark = tmp_path / "importing"
    (slow / "torch.py").write_text(
        f"import pathlib, time\npathlib.Path({str(mark)!r}).touch()\ntime.sleep(300)\n"
    )
    path = os.pathsep.join(filter(None, [str(slow), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    with running_pool(tmp_path, "--devices", "cpu:1", ready=False) as pool:
        deadline = time.monotonic() + 60
        while not mark.exists():
            assert time.monotonic() < deadline, pool.log.read_text()
            time.sleep(0.02)
        family = pool.children()
        assert family, "there is no fork server"
        pool.process.send_signal(signal.SIGINT)
        assert pool.process.wait(20) == 0, pool.log.read_text()
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive
    said = pool.log.read_text()
    assert "ended" in said and "Traceback" not in said and "fork server ready" not in said
