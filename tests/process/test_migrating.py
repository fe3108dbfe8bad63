"""The requests of other programs that docs/migrating.md shows, sent to a pool."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from tests.support.pool import ROOT, free_port, running_pool

POOL = "http://127.0.0.1:8889"
IGNORED = {
    "comfystream": ["params.warmup"],
    "pytrickle": ["params.intensity"],
    "ai-runner": ["model_id", "params.show_reloading_frame"],
}


def test_they_are_taken_as_they_are(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "migrating.md").read_text()
    shown = [shlex.split(c) for c in re.findall(r"^```sh\n(curl .*?)^```", text, re.M | re.S)]
    taken = {}
    with running_pool(tmp_path, "--devices", "cpu:1") as pool:
        for words in shown:
            (url,) = [w for w in words if w.startswith(POOL)]
            body = words[words.index("-d") + 1].replace(":2939/", f":{free_port()}/")
            status, answer = pool.call("POST", url.removeprefix(POOL), body.encode())
            assert status == 200, answer
            taken[answer["request_id"]] = answer["ignored"]
            workflow = pool.get(f"/stream/{answer['request_id']}/params")[1]["params"]["prompt"]
            assert ("ImageInvert" in json.dumps(workflow)) == ("ImageInvert" in body)
            assert pool.post("/stream/stop?wait=30")[0] == 200
    assert taken == IGNORED
    assert all(f"`{name}`" in text for names in IGNORED.values() for name in names)
