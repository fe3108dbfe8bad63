"""Memory for frames that comes back by itself when nobody looks at it any more.

A frame's memory is too large for the allocator to keep: with fresh memory every frame costs a page
fault for each 4 KiB (4K float frames took 3.5 times as long). A fixed buffer, on the other hand,
would be overwritten while an encoder still reads it, or while a node keeps the last frame.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_KEEP = 4


class BufferPool:
    """Buffers of one shape and type at a time.

    A buffer is in use as long as the array that ``take`` returned is, or anything that views it:
    slices, tensors made of it, an av.VideoFrame. The last of them may go in any thread.
    """

    def __init__(self, dtype: torch.dtype, keep: int = _KEEP, pin: bool = False) -> None:
        """``keep``: how many unused buffers are kept; more may be in use. ``pin``: page-locked
        memory, for copies from and to a CUDA device."""
        self._dtype = dtype
        self._keep = keep
        self._pin = pin
        self._shape: tuple[int, ...] = ()
        self._free: list[torch.Tensor] = []
        self._in_use: dict[int, weakref.ref[Any]] = {}  # id of the memory -> its array

    def take(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A contiguous array; its content is arbitrary."""
        if shape != self._shape:
            self._shape = shape
            self._free = []
        try:
            memory = self._free.pop()
        except IndexError:
            memory = torch.empty(shape, dtype=self._dtype, pin_memory=self._pin)
        # Views of an array refer to the array that owns the memory. This one's base is the tensor,
        # no array, so every view of it keeps this one alive.
        array: npt.NDArray[Any] = memory.numpy()
        free = self._free

        def back(_: weakref.ref[Any]) -> None:
            self._in_use.pop(id(memory), None)
            if free is self._free and len(free) < self._keep:
                free.append(memory)

        self._in_use[id(memory)] = weakref.ref(array, back)
        return array

    def unused(self) -> int:
        """How many buffers wait for use."""
        return len(self._free)


def is_plain(array: npt.NDArray[np.uint8]) -> bool:
    """Can torch look at it in place: writable, and no row or column runs backwards?"""
    return array.flags.writeable and min(array.strides) >= 0
