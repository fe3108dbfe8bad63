"""Frame to tensor and back."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
import torch

from workers.engine.bridge import FrameBridge
from workers.engine.buffers import BufferPool

CPU = torch.device("cpu")
RNG = np.random.default_rng(7)


@pytest.fixture(params=["cpu", "staged"])
def bridge(request: pytest.FixtureRequest) -> FrameBridge:
    return FrameBridge(CPU, staged=request.param == "staged")


def picture(height: int = 6, width: int = 10) -> Any:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_all_256_values_survive_the_round_trip(bridge: FrameBridge) -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image = bridge.upload(levels)
    assert image.shape == (1, 16, 16, 3)
    assert image.dtype is torch.float32
    assert image.is_contiguous()
    assert (image.min().item(), image.max().item()) == (0.0, 1.0)
    assert torch.allclose(image, torch.from_numpy(levels)[None] / 255, atol=1e-7, rtol=0)
    back, _ = bridge.download(image)
    assert back.dtype == np.uint8
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, levels)


def test_any_memory_layout_of_the_source(bridge: FrameBridge) -> None:
    wide = picture(8, 20)
    read_only = wide.copy()
    read_only.flags.writeable = False
    for source in (wide[:, :10], wide[::2], wide[::-1], wide[:, ::-1], read_only):
        np.testing.assert_array_equal(bridge.download(bridge.upload(source))[0], source)


def test_size_may_change_at_any_frame(bridge: FrameBridge) -> None:
    for size in ((4, 6), (10, 2), (4, 6)):
        source = picture(*size)
        np.testing.assert_array_equal(bridge.download(bridge.upload(source))[0], source)


def test_what_is_out_of_range_or_not_a_number(bridge: FrameBridge) -> None:
    nan, inf = float("nan"), float("inf")
    values = torch.tensor(
        [nan, -inf, inf, -0.2, 1.7, 3e38, 0.5 / 255 - 1e-6, 0.5 / 255 + 1e-6, 1.0]
    )
    image = values.reshape(1, 3, 3, 1).expand(1, 3, 3, 3).contiguous()
    rgb, _ = bridge.download(image)
    assert rgb[:, :, 0].ravel().tolist() == [0, 0, 255, 0, 255, 255, 0, 1, 255]
    assert torch.isnan(image[0, 0, 0, 0])  # the tensor is the workflow's, not ours
    clean, _ = bridge.download(torch.full((1, 3, 3, 3), 0.2))
    assert clean.ravel().tolist() == [51] * 27


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(bridge: FrameBridge, dtype: torch.dtype) -> None:
    image = torch.rand(1, 5, 4, 3).to(dtype)
    want = (image.float() * 255 + 0.5).floor().to(torch.uint8)[0].numpy()
    np.testing.assert_array_equal(bridge.download(image)[0], want)


def test_channels_and_batches(bridge: FrameBridge) -> None:
    image = torch.rand(2, 5, 4, 3)
    rgb, _ = bridge.download(image)
    np.testing.assert_array_equal(rgb, bridge.download(image[:1])[0])
    with_alpha = torch.cat([image, torch.zeros(2, 5, 4, 1)], dim=3)
    np.testing.assert_array_equal(bridge.download(with_alpha)[0], rgb)
    grey, _ = bridge.download(image[..., :1])
    np.testing.assert_array_equal(grey, rgb[:, :, :1].repeat(3, axis=2))
    turned, _ = bridge.download(image.transpose(1, 2))
    np.testing.assert_array_equal(turned, rgb.transpose(1, 0, 2))


@pytest.mark.parametrize(
    "bad",
    [torch.zeros(5, 4, 3), torch.zeros(1, 5, 4, 2), torch.zeros(1, 5, 4, 3, dtype=torch.uint8),
     torch.zeros(0, 5, 4, 3)],
)  # fmt: skip
def test_what_is_no_image(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="an image"):
        FrameBridge(CPU).download(bad)


def test_what_is_no_frame() -> None:
    bads: list[Any] = [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
    for bad in bads:
        with pytest.raises(ValueError, match="a frame is"):
            FrameBridge(CPU).upload(bad)


def test_a_picture_in_use_is_never_written_to(bridge: FrameBridge) -> None:
    """The encoder may hold any number of pictures, or only a view of one."""
    sources = [picture() for _ in range(7)]
    held = [bridge.download(bridge.upload(source))[0][1:, :, :] for source in sources]
    for source, view in zip(sources, held, strict=True):
        np.testing.assert_array_equal(view, source[1:])


def test_a_node_may_keep_a_frame(bridge: FrameBridge) -> None:
    first, second = picture(), picture()
    kept = bridge.upload(first)[0, 1:]  # a view, as a node would keep it
    bridge.upload(second)
    bridge.upload(second)
    assert (kept * 255).round().byte().tolist() == first[1:].tolist()


def test_memory_is_used_again() -> None:
    bridge = FrameBridge(CPU)
    seen_in, seen_out = set(), set()
    rgb: Any = None
    for _ in range(20):
        image = bridge.upload(picture())
        seen_in.add(image.data_ptr())
        rgb, owner = bridge.download(image)
        seen_out.add(rgb.ctypes.data)
        del image, owner
    assert len(seen_in) == 1
    assert len(seen_out) == 2  # one is still held while the next is made


class TestBufferPool:
    def test_views_and_tensors_hold_it(self) -> None:
        pool = BufferPool(torch.uint8)
        array = pool.take((4, 8))
        view = array[::2]
        tensor = torch.from_numpy(view)[1:]
        del array
        assert pool.unused() == 0
        del view
        assert pool.unused() == 0
        del tensor
        assert pool.unused() == 1

    def test_keeps_a_few(self) -> None:
        pool = BufferPool(torch.float32, keep=2)
        held = [pool.take((2, 2)) for _ in range(5)]
        assert len({array.ctypes.data for array in held}) == 5
        held.clear()
        assert pool.unused() == 2

    def test_another_shape_drops_the_old_ones(self) -> None:
        pool = BufferPool(torch.uint8)
        old = pool.take((2, 2))
        new = pool.take((3, 3))
        assert new.shape == (3, 3)
        del old
        assert pool.unused() == 0
        del new
        assert pool.unused() == 1

    def test_given_back_from_another_thread(self) -> None:
        pool = BufferPool(torch.uint8)
        box = [pool.take((2, 2))]
        thread = threading.Thread(target=box.clear)
        thread.start()
        thread.join()
        assert pool.unused() == 1

    def test_a_pool_may_go_before_its_arrays(self) -> None:
        pool = BufferPool(torch.uint8)
        array = pool.take((2, 2))
        array[:] = 9
        del pool
        gc.collect()
        assert array.tolist() == [[9, 9], [9, 9]]
