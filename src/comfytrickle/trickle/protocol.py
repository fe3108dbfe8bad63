"""Names and numbers of the trickle protocol, in one place.

Source: the behaviour of livepeer/go-livepeer's ``trickle`` package, written down row by row in
docs/trickle.md.
"""

from __future__ import annotations

HEADER_SEQ = "Lp-Trickle-Seq"  # reply: the segment this is
HEADER_LATEST = "Lp-Trickle-Latest"  # reply: the channel's next seq
HEADER_CLOSED = "Lp-Trickle-Closed"  # reply: the channel ended
# Of this server alone: a request for /next asks with it how many POSTs are open, the reply says so.
HEADER_WRITERS = "Lp-Trickle-Writers"
HEADER_RESET = "Lp-Trickle-Reset"  # request: close all earlier open segments
HEADER_EXPECT_CONTENT = "Expect-Content"  # request, POST /channel: the channel's mime type

CLOSED_TERMINATED = "terminated"

SEQ_NEXT = -1  # the segment that begins next
SEQ_CURRENT = -2  # the segment that began last

STATUS_NOT_IN_WINDOW = 470  # the seq is past or ahead of the window; Latest says where to go
REASON_NOT_IN_WINDOW = "status code 470"

WINDOW = 5  # segments that a server keeps
CONTINUE_INTERVAL_S = 10.0  # 100 Continue to a preconnected POST without a byte

MIME_MPEGTS = "video/MP2T"
MIME_JSON = "application/json"
MIME_JSONL = "application/jsonl"
