"""A frame of a program as the message in which it is sent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from comfytrickle.frame_message import MAX_MESSAGE, NO_PTS, Header, Kind, Side

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# A JPEG, or uint8 [height, width, 3]: numpy's array, or whatever has a buffer of this shape.
Frame: TypeAlias = "bytes | bytearray | memoryview | npt.NDArray[np.uint8]"


def frame_message(frame: Frame, seq: int, pts: int | None, time: float) -> bytes:
    """Raises TypeError for what is no frame, ValueError for one that is too large."""
    try:
        view = memoryview(cast(Any, frame))
    except TypeError:
        raise TypeError(_wrong(type(frame).__name__)) from None
    shape = view.shape or ()
    kind, width, height = Kind.JPEG, 0, 0  # those of a JPEG stand in it
    if len(shape) == 3 and shape[2] == 3:
        kind, height, width = Kind.RAW, shape[0], shape[1]
    elif len(shape) != 1:
        raise TypeError(_wrong(f"of shape {list(shape)}"))
    if view.format != "B":
        raise TypeError(_wrong(f"of type {view.format!r}"))
    header = Header(kind, Side.IN, seq, width, height, NO_PTS if pts is None else pts, time).pack()
    if len(header) + view.nbytes > MAX_MESSAGE:
        raise ValueError(f"a frame of {view.nbytes} bytes is too large: at most {MAX_MESSAGE}")
    return b"".join((header, view if view.c_contiguous else view.tobytes()))


def _wrong(what: str) -> str:
    return f"a frame is a JPEG's bytes or uint8 [height, width, 3], not {what}"
