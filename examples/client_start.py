"""Start a stream, send it a second of video, save what its workflow makes of it. Ten lines.

It needs a running control plane (``scripts/launch_pool.sh``), and nothing else.
"""

import argparse
import time
from pathlib import Path

from comfytrickle.client import DEFAULT_URL, Client
from comfytrickle.testsrc.pattern import Pattern

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url", nargs="?", default=DEFAULT_URL, help="the control plane (%(default)s)")
url = parser.parse_args().url

with Client(url) as client, client.start("examples/workflows/edges.json") as stream:
    stream.wait_ready()
    with stream.frames(side="both") as pictures, stream.camera(end=True) as camera:
        for n in range(30):
            print(camera.send(Pattern(512, 512).render(n)))
            time.sleep(1 / 30)
        Path("edges.jpg").write_bytes(next(iter(pictures)).jpeg)
    print(stream.wait_ended()["frames"])
