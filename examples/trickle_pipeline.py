"""Start a stream with a workflow, watch it, stop it: the whole API in one short program.

It needs a running control plane (``scripts/launch_pool.sh``) and a trickle server with a source,
for example::

    comfytrickle trickle-server &
    comfytrickle publish testsrc http://127.0.0.1:2939/in &
    python examples/trickle_pipeline.py \\
        --subscribe http://127.0.0.1:2939/in --publish http://127.0.0.1:2939/out

Only the standard library is used: any language that can POST JSON can do the same.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


def call(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """GET, or POST of a JSON object. A refusal ends the program with the server's reason."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return dict(json.load(reply))
    except urllib.error.HTTPError as error:
        with error:
            raise SystemExit(f"{url}: {error.code}: {json.load(error)['error']}") from None
    except OSError as error:
        raise SystemExit(f"{url}: {error}") from None


def show(status: dict[str, Any]) -> None:
    frames, fps, total = status["frames"], status["fps"], status["latency_ms"]["total"]
    latency = "-" if total is None else f"{total['p50']:.1f} ms"
    print(
        f"{status['state']:<9} {status['health']:<8} frames {frames['in']} -> {frames['out']}"
        f"  fps {fps['in']} -> {fps['out']}  latency {latency}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a workflow on a live stream for a while.")
    parser.add_argument("--server", default="http://127.0.0.1:8889", help="the control plane")
    parser.add_argument("--subscribe", required=True, help="the channel that the video comes from")
    parser.add_argument("--publish", required=True, help="the channel that the result goes to")
    parser.add_argument("--workflow", type=Path, help="a file in API format (default: invert)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (10)")
    args = parser.parse_args()

    workflow = json.loads(args.workflow.read_text()) if args.workflow else INVERT
    started = call(
        f"{args.server}/stream/start",
        {
            "subscribe_url": args.subscribe,
            "publish_url": args.publish,
            "params": {"prompts": workflow},
        },
    )
    stream = f"{args.server}/stream/{started['request_id']}"
    print(f"{started['request_id']} on {started['device']}, worker {started['pid']}")
    status: dict[str, Any] = {}
    try:
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            status = call(f"{stream}/status")
            show(status)
            if not status["running"]:  # the source ended, or the worker failed
                break
            time.sleep(1.0)
    except KeyboardInterrupt:
        pass  # enough seen
    finally:
        print(call(f"{stream}/stop", {})["message"])
    error = status.get("last_error")
    if error:
        print(f"last error: {error['message']}")
    return 1 if status.get("health") == "failed" else 0


if __name__ == "__main__":
    raise SystemExit(main())
