"""Scale, crop, flip, rotate, stitch, batches: small values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from workers.nodes.batch import (
    EmptyImage,
    GetImageSize,
    ImageBatch,
    ImageFromBatch,
    RepeatImageBatch,
)
from workers.nodes.contract import UPSCALE_METHODS, to_batch
from workers.nodes.geometry import ImageCrop, ImageFlip, ImageRotate
from workers.nodes.scale import ImageScale, ImageScaleBy, ImageScaleToTotalPixels
from workers.nodes.stitch import ImageStitch

METHODS = list(UPSCALE_METHODS)


def grid(height: int, width: int) -> torch.Tensor:
    """Every pixel another level: row * 10 + column, in hundredths; [1, height, width, 3]."""
    levels = torch.arange(height).view(-1, 1) * 10 + torch.arange(width)
    return (levels / 100).view(1, height, width, 1).repeat(1, 1, 1, 3)


def levels(image: torch.Tensor) -> list[list[int]]:
    """The first picture's red channel, in hundredths."""
    rows: list[list[int]] = (image[0, ..., 0] * 100).round().int().tolist()
    return rows


def even(height: int, width: int, level: float = 0.5, channels: int = 3) -> torch.Tensor:
    return torch.full((1, height, width, channels), level)


@pytest.mark.parametrize("method", METHODS)
def test_scale_sizes(method: str) -> None:
    node, image = ImageScale(), even(30, 40, 0.2)

    def size(width: int, height: int) -> tuple[int, int]:
        out = node.upscale(image, method, width, height, "disabled")[0]
        assert (out - 0.2).abs().max() < 1e-6
        return out.shape[2], out.shape[1]

    assert size(17, 9) == (17, 9)
    assert size(0, 60) == (80, 60)
    assert size(20, 0) == (20, 15)
    assert size(0, 7) == (9, 7)  # 9.33
    assert size(1, 0) == (1, 1)  # 0.75, but at least one pixel
    assert node.upscale(image, method, 0, 0, "disabled")[0] is image


def test_scale_values() -> None:
    image = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    scaled = {m: ImageScale().upscale(image, m, 4, 1, "disabled")[0][0, 0, :, 0] for m in METHODS}
    assert scaled["nearest-exact"].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert scaled["bilinear"].tolist() == [0.0, 0.25, 0.75, 1.0]
    assert scaled["area"].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert scaled["bicubic"][0] < 0.0  # it overshoots, and nothing clamps it
    steps = scaled["lanczos"] * 255
    torch.testing.assert_close(steps, steps.round())  # it went through 8 bits
    down = ImageScale().upscale(grid(2, 4), "area", 2, 1, "disabled")[0]
    torch.testing.assert_close(down[0, 0, :, 0], torch.tensor([0.055, 0.075]))


def test_scale_crops_to_the_new_ratio_in_the_middle() -> None:
    wide = grid(2, 6)
    out = ImageScale().upscale(wide, "nearest-exact", 2, 2, "center")[0]
    assert levels(out) == [[2, 3], [12, 13]]
    tall = ImageScale().upscale(grid(6, 2), "nearest-exact", 2, 2, "center")[0]
    assert levels(tall) == [[20, 21], [30, 31]]
    assert levels(ImageScale().upscale(wide, "area", 2, 2, "disabled")[0])[0] == [1, 4]


def test_the_same_size_costs_nothing_but_lanczos_truncates_to_8_bits() -> None:
    image = even(4, 5, 0.5)
    for method in METHODS[:-1]:
        assert (
            ImageScale().upscale(image, method, 5, 4, "disabled")[0].data_ptr() == image.data_ptr()
        )
    out = ImageScale().upscale(image, "lanczos", 5, 4, "disabled")[0]
    torch.testing.assert_close(out, even(4, 5, 127 / 255))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lanczos_keeps_channels_and_clamps(channels: int) -> None:
    image = torch.cat((even(8, 8, -0.5, channels), even(8, 8, 1.5, channels)))
    out = ImageScale().upscale(image, "lanczos", 4, 4, "disabled")[0]
    assert out.shape == (2, 4, 4, channels)
    assert out[0].max() == 0.0 and out[1].min() == 1.0


def test_scale_by_rounds_half_to_even() -> None:
    node = ImageScaleBy()
    assert node.upscale(even(5, 7), "bilinear", 0.5)[0].shape == (1, 2, 4, 3)  # 2.5, 3.5
    assert node.upscale(even(5, 7), "area", 3.0)[0].shape == (1, 15, 21, 3)
    with pytest.raises(ValueError, match="0x0"):
        node.upscale(even(5, 7), "area", 0.01)


def test_total_pixels() -> None:
    node = ImageScaleToTotalPixels()
    assert node.execute(even(64, 64), "area", 0.0625)[0].shape == (1, 256, 256, 3)
    assert node.execute(even(30, 40), "area", 0.0625)[0].shape == (1, 222, 296, 3)
    assert node.execute(even(30, 40), "area", 0.0625, 64)[0].shape == (1, 192, 320, 3)
    assert node.execute(even(10, 400), "area", 0.01, 64)[0].shape == (1, 64, 640, 3)
    with pytest.raises(ValueError, match="megapixels"):
        node.execute(even(4, 4), "area", 0.0)
    with pytest.raises(ValueError, match="resolution_steps"):
        node.execute(even(4, 4), "area", 1.0, 0)


def test_crop_ends_at_the_edge() -> None:
    node, image = ImageCrop(), grid(4, 5)
    assert levels(node.crop(image, 2, 2, 1, 1)[0]) == [[11, 12], [21, 22]]
    assert levels(node.crop(image, 99, 1, 3, 0)[0]) == [[3, 4]]
    assert levels(node.crop(image, 9, 9, 500, 500)[0]) == [[34]]  # at least the last pixel
    assert node.crop(image, 2, 2, 0, 0)[0].data_ptr() == image.data_ptr()
    for bad in ({"width": 0}, {"height": 0}, {"x": -1}, {"y": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            node.crop(image, **({"width": 1, "height": 1, "x": 0, "y": 0} | bad))


def test_flip() -> None:
    image = grid(2, 3)
    assert levels(ImageFlip().flip(image, "x-axis: vertically")[0]) == [[10, 11, 12], [0, 1, 2]]
    assert levels(ImageFlip().flip(image, "y-axis: horizontally")[0]) == [[2, 1, 0], [12, 11, 10]]


def test_rotate_is_clockwise() -> None:
    node, image = ImageRotate(), grid(2, 3)
    assert node.rotate(image, "none")[0] is image
    assert levels(node.rotate(image, "90 degrees")[0]) == [[10, 0], [11, 1], [12, 2]]
    assert levels(node.rotate(image, "180 degrees")[0]) == [[12, 11, 10], [2, 1, 0]]
    assert levels(node.rotate(image, "270 degrees")[0]) == [[2, 12], [1, 11], [0, 10]]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("right", [[0, 1, 90, 90]]),
        ("left", [[90, 90, 0, 1]]),
        ("down", [[0, 1], [90, 90]]),
        ("up", [[90, 90], [0, 1]]),
    ],
)
def test_stitch_directions(direction: str, expected: list[list[int]]) -> None:
    out = ImageStitch().stitch(grid(1, 2), direction, True, 0, "white", even(1, 2, 0.9))[0]
    assert levels(out) == expected


def test_stitch_scales_to_the_common_edge_or_fills_up() -> None:
    node, image = ImageStitch(), even(8, 4, 0.0)
    assert node.stitch(image, "right", True, 0, "white", even(4, 6))[0].shape == (1, 8, 16, 3)
    assert node.stitch(image, "up", True, 0, "white", even(3, 6))[0].shape == (1, 10, 4, 3)
    filled = node.stitch(image, "right", False, 0, "white", even(5, 6))[0]
    assert filled.shape == (1, 8, 10, 3)
    assert levels(filled[:, :, 4:5])[0:2] == [[100], [50]]  # 1 above, 2 below
    assert levels(filled[:, :, 4:5])[5:] == [[50], [100], [100]]
    coloured = node.stitch(even(3, 2), "down", False, 0, "green", even(3, 4))[0]
    assert coloured[0, 0, 0].tolist() == [0.0, 0.0, 0.0]  # a colour fills black


def test_stitch_bar() -> None:
    node, image = ImageStitch(), even(2, 2)
    out = node.stitch(image, "right", True, 3, "red", image)[0]
    assert out.shape == (1, 2, 8, 3)  # an even bar
    assert (out[0, :, 2:6] == torch.tensor([1.0, 0.0, 0.0])).all()
    grey_bar = node.stitch(image, "down", True, 2, "white", even(2, 2, channels=4))[0]
    assert grey_bar.shape == (1, 6, 2, 4)
    assert (grey_bar[0, :2, :, 3] == 1.0).all()  # image1 gets an alpha, and it is opaque
    assert (grey_bar[0, 2:4] == 1.0).all()


def test_stitch_repeats_the_last_of_the_shorter_batch_and_passes_one_picture_on() -> None:
    three = torch.cat([even(2, 2, level) for level in (0.1, 0.2, 0.3)])
    out = ImageStitch().stitch(three[:2], "right", False, 0, "white", three)[0]
    assert out.shape == (3, 2, 4, 3)
    torch.testing.assert_close(out[2, 0, :, 0], torch.tensor([0.2, 0.2, 0.3, 0.3]))
    assert ImageStitch().stitch(three, "left", True, 8, "red")[0] is three


def test_batches() -> None:
    two = torch.cat((even(4, 4, 0.1), even(4, 4, 0.2)))
    joined = ImageBatch().batch(two, even(2, 8, 0.7))[0]
    assert joined.shape == (3, 4, 4, 3)
    torch.testing.assert_close(joined[:, 0, 0, 0], torch.tensor([0.1, 0.2, 0.7]))
    with pytest.raises(ValueError, match="3 channels, image2 4"):
        ImageBatch().batch(two, even(4, 4, channels=4))

    def chosen(index: int, length: int) -> list[float]:
        picked = ImageFromBatch().frombatch(joined, index, length)[0]
        return [round(float(v), 3) for v in picked[:, 0, 0, 0]]

    assert chosen(1, 1) == [0.2]
    assert chosen(1, 9) == [0.2, 0.7]
    assert chosen(99, 1) == [0.7]
    repeated = RepeatImageBatch().repeat(two, 2)[0]
    torch.testing.assert_close(repeated[:, 0, 0, 0], torch.tensor([0.1, 0.2, 0.1, 0.2]))
    assert GetImageSize().get_size(torch.zeros(5, 3, 7, 3)) == (7, 3, 5)


def test_to_batch() -> None:
    three = torch.arange(3.0).view(3, 1)
    assert to_batch(three, 2).flatten().tolist() == [0, 1]
    assert to_batch(three, 5).flatten().tolist() == [0, 1, 2, 0, 1]


def test_empty_image() -> None:
    out = EmptyImage().generate(3, 2, 2, 0xFF8000)[0]
    assert out.shape == (2, 2, 3, 3)
    torch.testing.assert_close(out[1, 1, 2], torch.tensor([1.0, 128 / 255, 0.0]))
    with pytest.raises(ValueError, match="width is 0"):
        EmptyImage().generate(0, 2)
