"""The control plane as its callers see it: a real process, real workers, plain HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from comfytrickle.cli import main as cli
from tests.support import leaks
from tests.support.pool import ROOT, Pool, free_port, running_pool

INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
UNKNOWN_NODE = {**INVERT, "2": {"class_type": "NoSuchNode", "inputs": {"image": ["1", 0]}}}
# No such channel: a stream that waits for its source is all that these tests need.
TRICKLE_PORT = free_port()
SOURCE = f"http://127.0.0.1:{TRICKLE_PORT}/never"


def sink(stream_id: str | None) -> str:
    return f"http://127.0.0.1:{TRICKLE_PORT}/out-{quote(stream_id or 'x', safe='')}"


@pytest.fixture(scope="module", autouse=True)
def trickle_server() -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "comfytrickle.cli.main", "trickle-server",
         "--port", str(TRICKLE_PORT)],
        stdout=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    leaks.shared.add(process.pid)
    yield
    process.terminate()
    assert process.wait(20) == 0
    leaks.shared.discard(process.pid)


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(
        tmp_path_factory.mktemp("pool"), "--devices", "cpu:2", "--restart-budget", "0"
    ) as running:
        yield running


@pytest.fixture
def pool(shared_pool: Pool) -> Iterator[Pool]:
    """The shared one, with no stream before and after."""
    yield shared_pool
    for stream_id in shared_pool.get("/streams")[1]["streams"]:
        shared_pool.post("/stream/stop?wait=30", {"stream_id": stream_id})
    assert shared_pool.get("/streams")[1]["count"] == 0


def body(stream_id: str | None = None, **params: Any) -> dict[str, Any]:
    named = {} if stream_id is None else {"gateway_request_id": stream_id}
    return {"subscribe_url": SOURCE, "publish_url": sink(stream_id), "params": params, **named}


def start(pool: Pool, stream_id: str) -> dict[str, Any]:
    return pool.start(stream_id, SOURCE, sink(stream_id))


def until(condition: Callable[[], Any], timeout: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {timeout} s"
        time.sleep(0.02)
    return value


# --- the process ------------------------------------------------------------------------------


def test_health_waits_for_nothing(tmp_path: Path) -> None:
    with running_pool(tmp_path, "--devices", "cpu:1", ready=False) as pool:
        until(lambda: "listening on" in pool.log.read_text())
        status, answer = pool.get("/health")
        assert (status, answer["status"]) == (200, "LOADING")  # the imports take seconds
        status, answer = pool.get("/ready")
        assert status == 503 and "loading" in answer["reason"]
        # A start at this moment waits for the node check instead of failing.
        assert pool.post("/stream/start", body("early"))[0] == 200
        assert pool.get("/ready") == (200, {"ready": True})
        assert pool.get("/health")[1]["status"] == "OK"


def test_the_process_is_light(pool: Pool) -> None:
    pool.post("/workflow/validate", INVERT)
    process = psutil.Process(pool.process.pid)
    mapped = {Path(m.path).name for m in process.memory_maps()}
    heavy = [n for n in mapped if n.startswith(("libtorch", "libav", "_multiarray", "libc10"))]
    assert heavy == []
    assert process.memory_info().rss < 60e6


def test_sigterm_drains_and_leaves_nothing(tmp_path: Path) -> None:
    with running_pool(tmp_path, "--devices", "cpu:2") as pool:
        for name in "ab":
            start(pool, name)
        family = pool.children()
        assert len(family) >= 4  # fork server, inspector, two workers
        pool.process.send_signal(signal.SIGTERM)
        assert pool.process.wait(30) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []
        log = pool.log.read_text()
        assert "stream a ended: requested" in log and "stream b ended: requested" in log
        assert "killed_by_us" not in log


def test_a_second_signal_does_not_wait_for_the_drain(tmp_path: Path) -> None:
    with running_pool(tmp_path, "--devices", "cpu:1") as pool:
        pid = start(pool, "stuck")["pid"]
        pool.wait_status("stuck", lambda s: s["pipeline_ready"])
        family = pool.children()
        os.kill(pid, signal.SIGSTOP)
        pool.process.send_signal(signal.SIGTERM)
        until(lambda: "draining 1" in pool.log.read_text())
        pool.process.send_signal(signal.SIGTERM)
        assert pool.process.wait(30) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []
        assert "not all workers ended in time" in pool.log.read_text()


def test_a_port_in_use_is_said(pool: Pool, tmp_path: Path) -> None:
    port = pool.url.rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, "-m", "control_plane", "--port", port, "--log-dir", str(tmp_path)],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1 and f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_a_killed_inspector_comes_back(pool: Pool) -> None:
    before = pool.get("/health")[1]["inspector"]
    os.kill(before["pid"], signal.SIGKILL)
    assert pool.post("/workflow/validate", INVERT)[1]["valid"] is True
    after = pool.get("/health")[1]["inspector"]
    assert after["pid"] != before["pid"] and after["restarts"] == before["restarts"] + 1


# --- streams ----------------------------------------------------------------------------------


def test_the_life_of_a_stream(pool: Pool) -> None:
    status, answer = pool.post("/stream/start", body("life", prompts=INVERT, width="64", height=32))
    assert status == 200
    assert answer["status"] == "success" and answer["request_id"] == "life"
    assert answer["config"]["subscribe_url"] == SOURCE and answer["config"]["control_url"] is None
    assert (answer["config"]["width"], answer["config"]["height"]) == (64, 32)
    assert psutil.pid_exists(answer["pid"]) and answer["device"] == "cpu:0"

    ready = pool.wait_status("life", lambda s: s["pipeline_ready"] and s["source"] is not None)
    assert ready["running"] and ready["health"] == "waiting"
    assert (ready["frames"]["in"], ready["frames"]["out"]) == (0, 0)
    assert ready["latency_ms"]["total"] is None and ready["exit_cause"] is None
    assert list(pool.get("/streams")[1]["streams"]) == ["life"]

    assert pool.post("/stream/life/stop?wait=30") == (
        200,
        {
            "status": "success",
            "message": "stream stopped",
            "request_id": "life",
            "state": "exited",
        },
    )
    assert not psutil.pid_exists(answer["pid"])
    assert pool.post("/stream/life/stop")[0] == 200
    ended = pool.status("life")
    assert (ended["running"], ended["state"], ended["exit_cause"]) == (False, "exited", "requested")
    assert ended["last_error"] is None or ended["last_error"]["kind"] == "source"
    assert pool.get("/streams")[1] == {"streams": {}, "count": 0}
    assert "life" in pool.get("/streams?all=1")[1]["streams"]


def test_a_repeat_a_conflict_and_full(pool: Pool) -> None:
    first = start(pool, "one")
    status, again = pool.post("/stream/start", body("one"))
    assert (status, again["pid"]) == (200, first["pid"])
    status, answer = pool.post("/stream/start", body("one", width=64, height=64))
    assert status == 409 and "one" in answer["error"]
    start(pool, "two")
    request = urllib.request.Request(
        pool.url + "/stream/start", data=json.dumps(body("three")).encode()
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as refused:
        assert refused.code == 503 and int(refused.headers["Retry-After"]) >= 1
        assert "full" in json.load(refused)["error"]
    assert pool.get("/stream/three/status")[0] == 404
    assert pool.get("/health")[1]["slots"] == {"total": 2, "free": 0}


def test_many_starts_of_one_id_make_one_worker(pool: Pool) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: pool.post("/stream/start", body("same")), range(6)))
    assert [status for status, _ in answers] == [200] * 6
    assert len({answer["pid"] for _, answer in answers}) == 1
    assert pool.get("/health")[1]["slots"]["free"] == 1


def test_a_killed_worker_is_reported_and_its_slot_is_free(pool: Pool) -> None:
    pid = start(pool, "victim")["pid"]
    other = start(pool, "bystander")["pid"]
    pool.wait_status("victim", lambda s: s["pipeline_ready"])
    os.kill(pid, signal.SIGKILL)
    dead = pool.wait_status("victim", lambda s: not s["running"])
    assert (dead["health"], dead["exit_cause"]) == ("failed", "signalled")
    assert dead["exit_signal"] == "SIGKILL" and "SIGKILL" in dead["last_error"]["message"]
    assert "ready after" in dead["last_error"]["log_tail"]
    assert pool.get("/health")[1]["slots"]["free"] == 1
    assert pool.status("bystander")["pid"] == other and psutil.pid_exists(other)
    assert start(pool, "victim")["pid"] != pid  # its id may be used again


def test_params(pool: Pool) -> None:
    start(pool, "p")
    status, answer = pool.post("/stream/p/params", {"params": {"prompts": INVERT, "seed": 1}})
    assert (status, answer["revision"], answer["ignored"]) == (200, 1, ["params.seed"])
    status, answer = pool.post("/stream/params", {"prompt": json.dumps(INVERT), "max_framerate": 9})
    assert (status, answer["revision"]) == (200, 2)
    status, answer = pool.post("/stream/p/params", {"prompts": UNKNOWN_NODE})
    assert status == 400 and "2" in answer["node_errors"]
    assert pool.status("p")["params_revision"] == 2 and pool.status("p")["running"]
    for wrong in ({"width": 17, "height": 32}, {"width": 64}, {"drop": "never"}):
        assert pool.post("/stream/p/params", wrong)[0] == 400


def test_a_workflow_is_refused_before_it_costs_anything(pool: Pool) -> None:
    status, answer = pool.post("/stream/start", body("bad", prompts=UNKNOWN_NODE))
    assert status == 400
    assert answer["node_errors"]["2"]["class_type"] == "NoSuchNode"
    assert pool.get("/stream/bad/status")[0] == 404
    assert pool.get("/health")[1]["slots"]["free"] == 2
    assert pool.get("/health")[1]["status"] == "IDLE"


# --- ways to say the same ---------------------------------------------------------------------


def test_the_id_may_come_in_the_header_and_stop_takes_anything(pool: Pool) -> None:
    header = {"X-Stream-Id": "by-header"}
    answer = pool.call("POST", "/stream/start", body("in-body"), header)[1]
    assert answer["request_id"] == "by-header"
    odd = {**header, "Content-Type": "text/xml"}
    status, answer = pool.call("POST", "/stream/stop", b"\xff not json {", odd)
    assert (status, answer["request_id"]) == (200, "by-header")


def test_without_an_id_the_only_stream_is_meant(pool: Pool) -> None:
    assert pool.get("/stream/status")[0] == 404
    start(pool, "a")
    assert pool.get("/stream/status")[1]["request_id"] == "a"
    start(pool, "b")
    status, answer = pool.post("/stream/stop", {})
    assert status == 409 and "a, b" in answer["error"]
    assert pool.get("/streams")[1]["count"] == 2


def test_slashes_prefixes_and_odd_ids(pool: Pool) -> None:
    status, answer = pool.post("/api/stream/start/", body("a/b ö"))
    assert (status, answer["request_id"]) == (200, "a/b ö")
    assert pool.get("/api/stream/a%2Fb%20%C3%B6/status/")[1]["request_id"] == "a/b ö"
    assert "ready after" in until(
        lambda: (
            "ready after" in pool.get("/stream/a%2Fb%20%C3%B6/logs")[1]
            and pool.get("/stream/a%2Fb%20%C3%B6/logs")[1]
        )
    )
    assert pool.post("/api/stream/a%2Fb%20%C3%B6/stop/")[0] == 200
    made = pool.post("/stream/start", body())[1]["request_id"]
    assert made.startswith("stream-") and pool.status(made)["running"]


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "said"),
    [
        ("POST", "/stream/start", b"", 400, "empty"),
        ("POST", "/stream/start", b'{"a": ', 400, "line 1, column 7"),
        ("POST", "/stream/start", b"[]", 400, "a list"),
        ("POST", "/stream/start", {"subscribe_url": "x"}, 400, "subscribe_url"),
        ("POST", "/stream/start", {**body(), "control_url": "rtmp://h/x"}, 400, "control_url"),
        ("POST", "/stream/start", body(prompts=[]), 400, "params.prompts"),
        ("POST", "/stream/start", b'"' + b"x" * (9 << 20) + b'"', 413, "too large"),
        ("POST", "/stream/x/params", {}, 404, "no stream 'x'"),
        ("POST", "/stream/x/stop", None, 404, "no stream 'x'"),
        ("GET", "/stream/x/status", None, 404, "no stream 'x'"),
        ("GET", "/stream/x/logs", None, 404, "no stream 'x'"),
        ("GET", "/nowhere", None, 404, "/nowhere"),
        ("DELETE", "/streams", None, 405, "use GET"),
        ("GET", "/streams?all=maybe", None, 400, "all"),
        ("POST", "/workflow/validate", b"{}", 400, "missing"),
    ],
)
def test_refusals(pool: Pool, method: str, path: str, sent: Any, status: int, said: str) -> None:
    code, answer = pool.call(method, path, sent)
    assert code == status, answer
    assert said in answer["error"]
    assert pool.get("/health")[1]["status"] == "IDLE"


def test_a_pool_that_drains_is_not_free_for_the_next_stream(pool: Pool) -> None:
    pool.post("/drain")
    health = pool.get("/health")[1]
    assert (health["status"], health["reason"], health["draining"]) == ("OK", "draining", True)
    assert pool.call("DELETE", "/drain", None)[0] == 200
    health = pool.get("/health")[1]
    assert (health["status"], health["reason"]) == ("IDLE", None)


# --- nodes, validation, logs ------------------------------------------------------------------


def test_nodes_and_validation(pool: Pool) -> None:
    nodes = pool.get("/nodes")[1]
    assert {"LoadTensor", "SaveTensor", "ImageInvert"} <= nodes.keys()
    assert nodes["ImageInvert"]["input"]["required"]["image"][0] == "IMAGE"
    exported = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    answer = pool.post("/workflow/validate", {"prompt": exported})[1]
    assert answer["valid"] is True and answer["node_errors"] == {}
    classes = [node["class_type"] for node in answer["workflow"].values()]
    assert classes == ["LoadTensor", "SaveTensor"] and len(answer["converted"]) == 2
    answer = pool.post("/workflow/validate", UNKNOWN_NODE)[1]
    assert answer["valid"] is False
    assert answer["node_errors"]["2"]["errors"][0]["type"] == "missing_node_type"


def test_all_that_is_wrong_is_told_at_once(pool: Pool) -> None:
    """Whether the shape shows it, or an engine alone can know."""
    sound = {
        "1": {"class_type": "LoadAudioTensor", "inputs": {"buffer_size": 5}},
        "2": {
            "class_type": "AudioMerge",
            "inputs": {"audio1": ["1", 0], "audio2": ["1", 0], "merge_method": "avg"},
        },
        "3": {"class_type": "NoSuchNode", "inputs": {"audio": ["2", 0]}},
        "4": {"class_type": "SaveAudioTensor", "inputs": {"audio": ["3", 0]}},
    }
    wrong = {
        "1": ["value_smaller_than_min"],
        "2": ["value_not_in_list"],
        "3": ["missing_node_type"],
    }

    def told(answer: Any) -> dict[str, list[str]]:
        assert answer["error"].endswith("(and 2 more)")
        entries = answer["node_errors"].items()
        return {node: [e["type"] for e in entry["errors"]] for node, entry in entries}

    assert told(pool.post("/workflow/validate", {"prompt": sound})[1]) == wrong
    status, answer = pool.post("/stream/start", body("never", prompt=sound))
    assert (status, answer["field"], told(answer)) == (400, "params.prompt", wrong)
    start(pool, "runs")
    status, answer = pool.post("/stream/runs/params", {"prompt": sound})
    assert (status, answer["field"], told(answer)) == (400, "prompt", wrong)


def test_logs_end_when_the_stream_does(pool: Pool) -> None:
    start(pool, "talk")
    pool.wait_status("talk", lambda s: s["pipeline_ready"])
    followed: list[str] = []
    reader = threading.Thread(
        target=lambda: followed.append(pool.get("/stream/talk/logs?follow=1&tail=100")[1])
    )
    reader.start()
    lines = pool.get("/stream/talk/logs?tail=1")[1]
    assert lines.count("\n") == 1
    pool.post("/stream/talk/stop?wait=30")
    reader.join(30)
    assert not reader.is_alive()
    assert "ready after" in followed[0] and "draining" in followed[0]


def test_a_token_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--devices", "cpu:1", "--auth-token", "s3cret")
    with running_pool(tmp_path, *flags, ready=False) as pool:
        until(lambda: "listening on" in pool.log.read_text())
        assert pool.get("/health")[0] == 200
        assert pool.get("/streams")[0] == 401
        assert pool.get("/api/streams/")[0] == 401
        wrong, right = ({"Authorization": f"Bearer {t}"} for t in ("nope", "s3cret"))
        assert pool.call("GET", "/streams", headers=wrong)[0] == 401
        assert pool.call("GET", "/streams", headers=right)[0] == 200
        assert cli.main(["list", "--url", pool.url, "--token", "s3cret"]) == 0
        capsys.readouterr()
        assert cli.main(["list", "--url", pool.url]) == 1
        assert "(give it by --token or $COMFYTRICKLE_AUTH_TOKEN)" in capsys.readouterr().err
        assert cli.main(["list", "--url", pool.url, "--token", "nope"]) == 1
        assert "another one than was given by --token or $" in capsys.readouterr().err
        assert "s3cret" not in pool.log.read_text()


# --- the command line against it --------------------------------------------------------------


def test_the_command_line(pool: Pool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*argv: str) -> tuple[int, str, str]:
        code = cli.main([*argv, "--url", pool.url])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(INVERT))
    bad.write_text(json.dumps(UNKNOWN_NODE))
    flags = ("--subscribe", SOURCE, "--publish", sink("cli"), "--id", "cli")

    code, _, err = run("start", *flags, "--workflow", str(bad))
    assert code == 1 and "NoSuchNode" in err
    code, out, _ = run("start", *flags, "--workflow", str(good), "--param", "encode.crf=30")
    assert code == 0 and out.startswith("cli: stream started")
    code, out, _ = run("list")
    assert code == 0 and out.splitlines()[1].startswith("cli ")
    code, out, _ = run("status", "cli", "--json")
    assert code == 0 and json.loads(out)["request_id"] == "cli"
    code, out, _ = run("status", "cli")
    assert code == 0 and SOURCE in out
    code, out, _ = run("params", "cli", "--max-framerate", "5")
    assert code == 0 and "revision 1" in out
    code, out, _ = run("params", "--set", '2.image=["1", 0]')
    assert code == 0 and "revision 2" in out
    code, _, err = run("params", "cli", "--set", "2.images=3")
    assert code == 2 and "inputs of node 2 (ImageInvert) are image" in err
    assert run("drain")[:2] == (0, "no new streams; 1 stream running\n")
    assert run("drain", "--undo")[:2] == (0, "open; 1 stream running\n")
    code, out, _ = run("logs", "cli", "--tail", "5")
    assert code == 0 and out.count("\n") <= 5
    code, out, err = run("validate", str(bad))
    assert (code, err) == (1, "") and out.startswith("not valid\n  node 2 (NoSuchNode): ")
    assert out.count("NoSuchNode") == out.splitlines()[1].count("NoSuchNode")
    code, out, _ = run("validate", str(good))
    assert (code, out) == (0, "valid\n")
    assert run("stop")[0] == 0
    assert run("stop", "nobody")[0] == 1
    assert run("list")[1] == "no streams\n"
