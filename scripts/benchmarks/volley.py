"""Many HTTP requests at the same moment, each timed from its last byte sent to its last byte read.

    python -m benchmarks.volley PORT < BODIES

One JSON body a line; each is POSTed to /stream/start over a connection of its own, all of which
are made before the first byte is sent. Prints a JSON list of ``[status, body, seconds]``. A process
of its own, and no HTTP library: what is measured is the server's time alone.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from typing import Any

LONGEST_S = 60.0


def request(body: str) -> bytes:
    data = body.encode()
    head = (
        "POST /stream/start HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def fire(port: int, requests: list[bytes]) -> list[tuple[int, Any, float]]:
    """The answers, in the order of the requests. Raises TimeoutError."""
    socks = [socket.create_connection(("127.0.0.1", port), 10) for _ in requests]
    answers: dict[int, tuple[int, Any, float]] = {}
    read = [b""] * len(requests)
    sent = [0.0] * len(requests)
    with selectors.DefaultSelector() as selector:
        for number, (sock, data) in enumerate(zip(socks, requests, strict=True)):
            sock.sendall(data)
            sent[number] = time.perf_counter()
            selector.register(sock, selectors.EVENT_READ, number)
        deadline = time.monotonic() + LONGEST_S
        while len(answers) < len(requests):
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"{len(requests) - len(answers)} without an answer")
            for key, _ in ready:
                number = key.data
                data = socks[number].recv(65536)
                read[number] += data
                if not data:
                    took = time.perf_counter() - sent[number]
                    selector.unregister(socks[number])
                    answers[number] = (*parse(read[number]), took)
    for sock in socks:
        sock.close()
    return [answers[number] for number in range(len(requests))]


def parse(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(body)


if __name__ == "__main__":
    print(json.dumps(fire(int(sys.argv[1]), [request(line) for line in sys.stdin])))
