"""Masks, alpha, compositing, morphology: by hand, and against the definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.nodes.channels import JoinImageWithAlpha, SplitImageWithAlpha
from workers.nodes.composite import ImageCompositeMasked, MaskComposite
from workers.nodes.extremes import Extreme
from workers.nodes.mask import CropMask, FeatherMask, InvertMask, SolidMask, ThresholdMask
from workers.nodes.mask_convert import ImageColorToMask, ImageToMask, MaskToImage
from workers.nodes.morphology import GrowMask, Morphology


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, -1)


def dot(size: int = 5) -> torch.Tensor:
    mask = torch.zeros(1, size, size)
    mask[0, size // 2, size // 2] = 1.0
    return mask


def rows(mask: torch.Tensor) -> list[str]:
    """The first mask, drawn: # is 1."""
    return ["".join("#" if v > 0.5 else "." for v in line) for line in mask[0]]


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_plain_masks() -> None:
    close(SolidMask().solid(0.25, 3, 2)[0], torch.full((1, 2, 3), 0.25))
    close(InvertMask().invert(row(0.0, 0.25))[0], row(1.0, 0.75))
    close(ThresholdMask().image_to_mask(row(0.4, 0.5, 0.6), 0.5)[0], row(0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="height is 0"):
        SolidMask().solid(1.0, 3, 0)


def test_crop_mask() -> None:
    mask = torch.arange(12.0).view(3, 4)  # without a batch
    assert CropMask().crop(mask, 1, 1, 2, 9)[0].tolist() == [[[5.0, 6.0], [9.0, 10.0]]]
    for x, y in ((4, 0), (0, 3), (-1, 0)):
        with pytest.raises(ValueError, match="outside the mask"):
            CropMask().crop(mask, x, y, 1, 1)


def test_feather_ramps_up_from_each_edge() -> None:
    node, ones = FeatherMask(), torch.ones(1, 4, 6)
    left = node.feather(ones, 3, 0, 0, 0)[0][0, 0]
    close(left, torch.tensor([1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0]))
    top = node.feather(ones, 0, 2, 0, 0)[0][0, :, 0]
    close(top, torch.tensor([0.5, 1.0, 1.0, 1.0]))
    # ComfyUI's far ramp begins at position -0, which is the first one.
    right = node.feather(ones, 0, 0, 2, 0)[0][0, 0]
    close(right, torch.tensor([0.5, 1.0, 1.0, 1.0, 1.0, 1.0]))
    bottom = node.feather(ones, 0, 0, 0, 3)[0][0, :, 0]
    close(bottom, torch.tensor([1 / 3, 1.0, 1.0, 2 / 3]))
    assert node.feather(torch.ones(1, 2, 2), 99, 0, 0, 0)[0].shape == (1, 2, 2)
    with pytest.raises(ValueError, match="top is -1"):
        node.feather(ones, 0, -1, 0, 0)


def test_conversions() -> None:
    image = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 1, 1, 4)
    for channel, value in (("red", 0.1), ("green", 0.2), ("blue", 0.3), ("alpha", 0.4)):
        close(ImageToMask().image_to_mask(image, channel)[0], row(value))
    with pytest.raises(ValueError, match="no alpha"):
        ImageToMask().image_to_mask(image[..., :3], "alpha")
    grey = MaskToImage().mask_to_image(row(0.1, 0.9))[0]
    assert grey.shape == (1, 1, 2, 3)
    close(grey[0, 0, 1], torch.full((3,), 0.9))


def test_color_to_mask_compares_8_bit_levels() -> None:
    level = 0x80 / 255
    image = torch.tensor(
        [[1.2, level, -0.1], [1.0, level + 0.001, 0.001], [1.0, level + 0.004, 0.0]]
    ).view(1, 1, 3, 3)
    close(ImageColorToMask().image_to_mask(image, 0xFF8000)[0], row(1.0, 1.0, 0.0))


def test_alpha_is_the_inverse_of_a_mask() -> None:
    image = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 1, 1, 4)
    colours, mask = SplitImageWithAlpha().execute(image)
    close(colours, image[..., :3])
    close(mask, row(0.6))
    assert SplitImageWithAlpha().execute(image[..., :3])[1].tolist() == [[[0.0]]]
    close(JoinImageWithAlpha().execute(colours, mask)[0], image)
    large = JoinImageWithAlpha().execute(torch.ones(2, 4, 6, 3), torch.full((1, 2, 3), 0.25))[0]
    assert large.shape == (1, 4, 6, 4)  # as many as there are of both
    close(large[..., 3], torch.full((1, 4, 6), 0.75))


def laid(
    x: int, y: int, mask: torch.Tensor | None = None, resize: bool = False, size: int = 2
) -> list[str]:
    below, above = torch.zeros(1, 4, 5, 3), torch.ones(1, size, size, 3)
    out = ImageCompositeMasked().composite(below, above, x, y, resize, mask)[0]
    assert torch.equal(below, torch.zeros(1, 4, 5, 3))
    return rows(out[..., 0])


def test_composite_places() -> None:
    assert laid(1, 1) == [".....", ".##..", ".##..", "....."]
    assert laid(4, 3) == [".....", ".....", ".....", "....#"]
    assert laid(5, 0) == laid(0, 4) == laid(900, 900) == ["....."] * 4
    assert laid(-1, -1) == ["#....", ".....", ".....", "....."]  # over a link
    assert laid(0, 0, resize=True) == ["#####"] * 4
    assert laid(0, 0, size=9) == ["#####"] * 4


def test_composite_through_a_mask_of_the_source_s_size_or_any_other() -> None:
    diagonal = torch.eye(2).unsqueeze(0)
    assert laid(1, 1, diagonal) == [".....", ".#...", "..#..", "....."]
    assert laid(4, 1, diagonal) == [".....", "....#", ".....", "....."]
    assert laid(0, 0, torch.zeros(1, 7, 3)) == ["....."] * 4
    half = ImageCompositeMasked().composite(
        torch.zeros(2, 2, 2, 4), torch.ones(1, 2, 2, 3), 0, 0, False, torch.full((1, 1), 0.25)
    )[0]
    close(half, torch.full((2, 2, 2, 4), 0.25))  # the source is opaque, and repeated


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("multiply", (0.8, 0.32, 0.08)),
        ("add", (0.8, 1.0, 0.6)),
        ("subtract", (0.8, 0.4, 0.0)),
        ("and", (0.8, 0.0, 0.0)),
        ("or", (0.8, 1.0, 0.0)),
        ("xor", (0.8, 1.0, 0.0)),
    ],
)
def test_mask_operations(operation: str, expected: tuple[float, ...]) -> None:
    node, below = MaskComposite(), row(0.8, 0.8, 0.2)
    close(node.combine(below, row(0.4, 0.4, 0.4), 1, 0, operation)[0], row(*expected))
    close(node.combine(below, row(0.4), 3, 0, operation)[0], below)
    both = node.combine(row(0.9), row(0.9), 0, 0, operation)[0]
    exact = {"multiply": 0.81, "subtract": 0.0, "xor": 0.0}
    close(both, row(exact.get(operation, 1.0)))


def test_mask_composite_needs_batches_that_fit() -> None:
    with pytest.raises(ValueError, match="2 source masks"):
        MaskComposite().combine(torch.ones(3, 2, 2), torch.ones(2, 2, 2), 0, 0, "add")
    out = MaskComposite().combine(torch.ones(3, 2, 2), torch.zeros(1, 2, 2), 0, 0, "and")[0]
    assert out.shape == (3, 2, 2) and out.max() == 0.0


def test_grow_mask() -> None:
    node = GrowMask()
    assert rows(node.expand_mask(dot(), 1, True)[0]) == [
        ".....",
        "..#..",
        ".###.",
        "..#..",
        ".....",
    ]
    assert rows(node.expand_mask(dot(), 1, False)[0]) == [
        ".....",
        ".###.",
        ".###.",
        ".###.",
        ".....",
    ]
    assert rows(node.expand_mask(dot(), 2, True)[0]) == [
        "..#..",
        ".###.",
        "#####",
        ".###.",
        "..#..",
    ]
    assert rows(node.expand_mask(1 - dot(), -2, True)[0])[0] == "##.##"
    assert torch.equal(node.expand_mask(dot(), 0, True)[0], dot())
    assert node.expand_mask(dot(), 9000, True)[0].min() == 1.0
    full = torch.ones(1, 4, 4)
    assert node.expand_mask(full, -3, False)[0].min() == 1.0  # outside does not count


SMALL = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))


@settings(max_examples=60, deadline=None)
@given(SMALL, st.integers(0, 20), st.booleans())
def test_a_diamond_is_so_many_single_steps(
    shape: tuple[int, int, int], radius: int, maximum: bool
) -> None:
    height, width, seed = shape
    mask = torch.rand((2, height, width), generator=torch.Generator().manual_seed(seed))
    distance = (torch.arange(height)[:, None, None, None] - torch.arange(height)[:, None]).abs() + (
        torch.arange(width)[:, None, None] - torch.arange(width)
    ).abs()  # [y, x, other y, other x]
    outside = torch.tensor(-1.0 if maximum else 2.0)
    seen = torch.where(distance <= radius, mask[:, None, None], outside).flatten(3)
    expected = seen.amax(-1) if maximum else seen.amin(-1)
    assert torch.equal(Extreme(maximum=maximum).diamond(mask, radius), expected)


@settings(max_examples=60, deadline=None)
@given(SMALL, st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_a_window_is_the_extreme_of_its_values(
    shape: tuple[int, int, int], before: int, after: int, maximum: bool
) -> None:
    height, width, seed = shape
    values = torch.rand((height, width), generator=torch.Generator().manual_seed(seed))
    out = Extreme(maximum=maximum).window(values, before, after, 1)
    for x in range(width):
        seen = values[:, max(0, x - before) : x + after + 1]
        assert torch.equal(out[:, x], seen.amax(1) if maximum else seen.amin(1))


def morphed(operation: str, mask: torch.Tensor, size: int = 3) -> list[str]:
    image = mask.unsqueeze(-1).repeat(1, 1, 1, 3)
    return rows(Morphology().execute(image, operation, size)[0][..., 1])


def test_morphology() -> None:
    block = [".....", ".###.", ".###.", ".###.", "....."]
    grown = torch.tensor([[float(c == "#") for c in line] for line in block]).unsqueeze(0)
    assert morphed("dilate", dot()) == block
    assert morphed("erode", grown) == rows(dot())
    assert morphed("open", dot()) == ["....."] * 5
    assert morphed("open", grown) == block
    assert morphed("close", 1 - dot()) == ["#####"] * 5
    assert morphed("top_hat", dot()) == rows(dot())
    assert morphed("bottom_hat", 1 - dot()) == rows(dot())
    assert morphed("gradient", grown) == ["#####", "#####", "##.##", "#####", "#####"]


def test_an_even_square_opens_and_closes_without_a_shift() -> None:
    """It reaches one pixel further ahead when it erodes, one further behind when it dilates."""
    point = torch.zeros(1, 1, 7, 1)
    point[0, 0, 3] = 1.0

    def line(operation: str, image: torch.Tensor) -> str:
        out = Morphology().execute(image.expand(1, 7, 7, 3), operation, 4)[0]
        return "".join("#" if v > 0.5 else "." for v in out[0, 3, :, 0])

    assert line("dilate", point) == ".####.."
    assert line("erode", 1 - point) == "##....#"
    mask = torch.zeros(1, 9, 9)
    mask[:, 2:6, 3:7] = 1.0
    assert morphed("open", mask, 4) == rows(mask)
    assert morphed("close", 1 - mask, 4) == rows(1 - mask)
