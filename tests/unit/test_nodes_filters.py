"""Blur, sharpen, noise, quantize, blend, invert: small values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from workers.nodes.blend import ImageBlend
from workers.nodes.colour import DITHERS, ImageInvert, ImageQuantize, bayer_thresholds
from workers.nodes.filters import ImageAddNoise, ImageBlur, ImageSharpen
from workers.nodes.gaussian import GaussianBlur, gaussian_weights


def grey(*levels: float) -> torch.Tensor:
    """One row of grey pixels: [1, 1, n, 3]."""
    return torch.tensor(levels).view(1, 1, -1, 1).expand(-1, -1, -1, 3).contiguous()


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_invert() -> None:
    close(ImageInvert().invert(grey(0.0, 0.25, 1.0))[0], grey(1.0, 0.75, 0.0))


def test_gaussian_spans_minus_one_to_one_whatever_the_radius() -> None:
    side = math.exp(-1 / 2)  # the outermost tap is at 1, with sigma 1
    one = gaussian_weights(1, 1.0)
    assert one == pytest.approx([side / (1 + 2 * side), 1 / (1 + 2 * side), side / (1 + 2 * side)])
    four = gaussian_weights(4, 1.0)
    assert len(four) == 9 and sum(four) == pytest.approx(1.0)
    assert four[0] / four[4] == pytest.approx(side)
    assert four[2] / four[4] == pytest.approx(math.exp(-(0.5**2) / 2))


def test_blur_of_a_point_is_the_kernel() -> None:
    image = torch.zeros(1, 7, 7, 3)
    image[0, 3, 3] = 1.0
    weights = torch.tensor(gaussian_weights(2, 0.7))
    out = ImageBlur().execute(image, 2, 0.7)[0]
    close(out[0, 1:6, 1:6, 1], torch.outer(weights, weights))
    assert out[0, 0].abs().max() == 0


def test_blur_reflects_the_edge_without_repeating_it() -> None:
    side, middle, _ = gaussian_weights(1, 1.0)
    image = grey(1.0, 0.0, 0.0, 0.0).expand(-1, 4, -1, -1)
    row = ImageBlur().execute(image, 1, 1.0)[0][0, 0, :, 0]
    close(row, torch.tensor([middle, side, 0.0, 0.0]))


@pytest.mark.parametrize("radius", [1, 3, 7])
def test_a_gpu_s_way_gives_the_same(radius: int) -> None:
    """Both ways run on any device; which is taken is a matter of speed."""
    image, blur = random(2, 16, 13, 4), GaussianBlur()
    shifted = blur(image, radius, 0.8)
    close(blur._convolve(image), shifted)


def test_blur_follows_a_change_of_its_settings() -> None:
    image, node = random(1, 20, 20, 3), ImageBlur()
    first = node.execute(image, 1, 1.0)[0]
    assert not torch.allclose(first, node.execute(image, 3, 1.0)[0])
    assert not torch.allclose(first, node.execute(image, 1, 0.2)[0])
    assert torch.equal(first, node.execute(image, 1, 1.0)[0])


def test_blur_keeps_what_is_even_and_the_input_as_it_is() -> None:
    image = torch.full((1, 40, 40, 3), 0.3)
    close(ImageBlur().execute(image, 31, 10.0)[0], image)
    assert ImageBlur().execute(image, 0, 1.0)[0] is image


@pytest.mark.parametrize(
    ("size", "radius", "sigma", "message"),
    [(8, 8, 1.0, "8x20"), (20, -1, 1.0, "at least 1"), (20, 1, 0.0, "greater than 0")],
)
def test_blur_says_what_it_cannot_do(size: int, radius: int, sigma: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageBlur().execute(torch.rand(1, 20, size, 3), radius, sigma)


def test_sharpen_takes_ten_alpha_times_the_blur_away() -> None:
    image = torch.full((1, 5, 5, 3), 0.5)
    image[0, 2, 2] = 0.51
    side, middle, _ = gaussian_weights(1, 1.0)
    out = ImageSharpen().execute(image, 1, 1.0, 0.5)[0]
    close(out[0, 2, 2, 0], torch.tensor(0.51 + 5 * 0.01 * (1 - middle * middle)))
    close(out[0, 2, 1, 0], torch.tensor(0.5 - 5 * 0.01 * middle * side))
    close(out[0, 0, 0, 0], torch.tensor(0.5))


def test_sharpen_clamps_and_alpha_0_does_nothing_else() -> None:
    image = random(1, 16, 16, 3)
    strong = ImageSharpen().execute(image, 2, 1.0, 5.0)[0]
    assert strong.min() == 0.0 and strong.max() == 1.0
    close(ImageSharpen().execute(image, 2, 1.0, 0.0)[0], image)


def test_noise_is_that_of_the_seed_and_leaves_torch_s_generator_alone() -> None:
    image = torch.full((1, 8, 8, 3), 0.5)
    expected = torch.randn(image.shape, generator=torch.Generator().manual_seed(42))
    state = torch.get_rng_state()
    node = ImageAddNoise()
    out = node.repeat(image, 42, 0.1)[0]
    close(out, (image + 0.1 * expected).clip(0, 1))
    assert torch.equal(out, node.repeat(image, 42, 0.1)[0])
    assert not torch.equal(out, node.repeat(image, 43, 0.1)[0])
    assert node.repeat(torch.zeros(1, 4, 4, 3), 43, 0.1)[0].shape == (1, 4, 4, 3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("mode", "a", "b", "mixed"),
    [
        ("normal", 0.2, 0.8, 0.8),
        ("multiply", 0.5, 0.4, 0.2),
        ("screen", 0.5, 0.4, 0.7),
        ("overlay", 0.25, 0.4, 0.2),
        ("overlay", 0.75, 0.4, 0.7),
        ("soft_light", 0.5, 0.25, 0.375),  # a - (1-2b) a (1-a)
        ("soft_light", 0.25, 0.75, 0.375),  # g = sqrt(a) = ((16a-12)a+4)a at a quarter
        ("soft_light", 0.16, 1.0, 0.398336),  # all of ((16a-12)a+4)a
        ("soft_light", 0.64, 1.0, 0.8),  # all of sqrt(a)
        ("difference", 0.8, 0.3, 0.5),
        ("difference", 0.3, 0.8, -0.5),
    ],
)
def test_blend_modes(mode: str, a: float, b: float, mixed: float) -> None:
    node = ImageBlend()
    close(node.execute(grey(a), grey(b), 1.0, mode)[0], grey(min(max(mixed, 0.0), 1.0)))
    half = min(max((a + mixed) / 2, 0.0), 1.0)
    close(node.execute(grey(a), grey(b), 0.5, mode)[0], grey(half))
    close(node.execute(grey(a), grey(b), 0.0, mode)[0], grey(a))


def test_blend_fits_the_second_picture_to_the_first() -> None:
    first, other = random(2, 8, 12, 3), torch.full((1, 5, 9, 4), 0.25)
    out = ImageBlend().execute(first, other, 1.0, "normal")[0]
    close(out, torch.full((2, 8, 12, 3), 0.25))
    one_with_two = ImageBlend().execute(first[:1], random(2, 8, 12, 3, seed=1), 0.5, "screen")[0]
    assert one_with_two.shape == (2, 8, 12, 3)
    with_alpha = ImageBlend().execute(random(1, 8, 12, 4), first[:1], 1.0, "normal")[0]
    close(with_alpha[..., 3], torch.ones(1, 8, 12))  # a picture without alpha is opaque
    with pytest.raises(ValueError, match="2 and 3 pictures"):
        ImageBlend().execute(first, random(3, 8, 12, 3), 0.5, "multiply")


def test_bayer_thresholds() -> None:
    two = torch.from_numpy(bayer_thresholds(2)) * 4
    assert two.tolist() == [[-1.5, 0.5], [1.5, -0.5]]
    for order in (2, 4, 8, 16):
        matrix = bayer_thresholds(order)
        assert matrix.shape == (order, order)
        assert len(set(matrix.flatten().tolist())) == order * order  # every threshold once
        assert matrix.sum() == pytest.approx(0.0, abs=1e-5)
    assert bayer_thresholds(4)[0, 0] == pytest.approx(-1.5 / 4 - 1.5 / 16)


@pytest.mark.parametrize("dither", DITHERS)
def test_quantize_leaves_so_many_colours(dither: str) -> None:
    image = random(1, 24, 20, 3)
    out = ImageQuantize().execute(image, 4, dither)[0]
    assert out.shape == image.shape
    assert 2 <= len({tuple(pixel) for pixel in out.reshape(-1, 3).tolist()}) <= 4
    close((out * 255).round(), out * 255, atol=1e-4)


def test_quantize_keeps_few_colours_and_dithers_what_lies_between() -> None:
    two = torch.zeros(1, 8, 8, 3)
    two[:, :, 4:] = 1.0
    assert torch.equal(ImageQuantize().execute(two, 2, "none")[0], two)
    ramp = torch.linspace(0, 1, 64).view(1, 1, 64, 1).expand(1, 64, 64, 3)
    plain = ImageQuantize().execute(ramp, 2, "none")[0]
    dithered = ImageQuantize().execute(ramp, 2, "floyd-steinberg")[0]
    assert (plain.diff(dim=2) != 0).sum() == 64 * 3  # one step in each row
    assert (dithered.diff(dim=2) != 0).sum() > 1000
    # Means of eight columns: error diffusion keeps them, away from the palette's two levels.
    means = dithered[0, :, 24:40, 0].mean()
    close(means, ramp[0, :, 24:40, 0].mean(), atol=0.05)


def test_quantize_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="3 channels, not 4"):
        ImageQuantize().execute(random(1, 4, 4, 4), 4, "none")
    with pytest.raises(ValueError, match="colors is 257"):
        ImageQuantize().execute(random(1, 4, 4, 3), 257, "none")
