"""A client of the control plane: start streams, send frames, watch pictures. See docs/client.md.

    with Client("http://127.0.0.1:8889") as client:          # AsyncClient: the same with await
        with client.start("invert.json", width=512, height=512) as stream:
            stream.wait_ready()
            with stream.camera() as camera:
                camera.send(rgb)                             # uint8 [height, width, 3], or a JPEG
            for picture in stream.frames(side="out", fps=15):
                show(picture.rgb())

Every call raises Refused (the server said no, and why) and Unreachable (no answer, or not one of a
control plane).
"""

from __future__ import annotations

from comfytrickle.calls import DEFAULT_URL, Refused, Unreachable
from comfytrickle.client.async_camera import AsyncCamera, Sent
from comfytrickle.client.async_client import AsyncClient
from comfytrickle.client.async_pictures import AsyncPictures
from comfytrickle.client.async_stream import AsyncStream
from comfytrickle.client.camera import Camera
from comfytrickle.client.client import Client
from comfytrickle.client.ended import Ended
from comfytrickle.client.picture import Picture
from comfytrickle.client.pictures import Pictures
from comfytrickle.client.server_events import Event
from comfytrickle.client.stream import Stream

__all__ = [
    "DEFAULT_URL",
    "AsyncCamera",
    "AsyncClient",
    "AsyncPictures",
    "AsyncStream",
    "Camera",
    "Client",
    "Ended",
    "Event",
    "Picture",
    "Pictures",
    "Refused",
    "Sent",
    "Stream",
    "Unreachable",
]
