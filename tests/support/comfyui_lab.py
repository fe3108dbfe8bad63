"""Child processes for ComfyUI's modules, which are global to a process and cannot be taken out.

One mother imports torch and forks the children; a child runs the functions that it is sent
(functions of modules, by name) one after the other on a state of its own. Each call is a connection
of its own, so that the test process holds no descriptor between two tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from tests.support import leaks

State = dict[str, Any]

_PATIENCE_S = 100.0


class ChildError(AssertionError):
    """A function raised in the child; the text is its traceback."""


def _request(address: str, *message: Any) -> Any:
    with Client(address) as connection:
        connection.send(message)
        if not connection.poll(_PATIENCE_S):
            raise ChildError(f"no answer to {message}")
        good, value = connection.recv()
    if not good:
        raise ChildError(value)
    return value


class Child:
    """One process. ``ask`` runs a function in it and returns what it returns."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """``function(state, *args)``. Raises ChildError."""
        return _request(self._address, function, args)

    def close(self) -> None:
        _request(self._address, None, ())


class Lab:
    """The mother. ``open`` starts a child."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = 0

    @contextlib.contextmanager
    def open(self) -> Iterator[Child]:
        self._started += 1
        address = str(self._folder / f"child-{self._started}")
        _request(str(self._folder / "mother"), address)
        with contextlib.closing(Child(address)) as child:
            yield child


@contextlib.contextmanager
def open_lab() -> Iterator[Lab]:
    """For a fixture of a module or wider: its processes are nobody's leak until it ends."""
    with tempfile.TemporaryDirectory(prefix="lab-") as name:
        folder = Path(name)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.comfyui_lab", str(folder / "mother")],
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        leaks.shared.add(process.pid)
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not (folder / "mother").exists():
                assert process.poll() is None and time.monotonic() < deadline, "no mother"
                time.sleep(0.01)
            yield Lab(folder)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            leaks.shared.discard(process.pid)


def main(address: str) -> None:
    import torch

    import workers.engine.embedded  # noqa: F401  (so that no child has to)

    torch.set_num_threads(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with Listener(address) as listener:
        while True:
            connection = listener.accept()
            (child_address,) = connection.recv()
            if os.fork() == 0:
                # A node pack may want to see how processes of its own ended.
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _serve(child_address, connection)
                os._exit(0)
            connection.close()


def _serve(address: str, started: Connection) -> None:
    state: State = {}
    with Listener(address) as listener:
        started.send((True, None))
        started.close()
        function: Any = _serve
        while function is not None:
            with listener.accept() as connection:
                reply: tuple[bool, Any]
                try:
                    function, args = connection.recv()
                    reply = (True, function(state, *args) if function else None)
                except BaseException:  # noqa: BLE001 - goes to the test
                    reply = (False, traceback.format_exc())
                connection.send(reply)


if __name__ == "__main__":
    main(sys.argv[1])
