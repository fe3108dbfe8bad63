"""The sound nodes: what ComfyUI's give, and another sample rate."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from workers.nodes.resample import resample
from workers.nodes.sound import (
    AudioAdjustVolume,
    AudioMerge,
    EmptyAudio,
    JoinAudioChannels,
    SplitAudioChannels,
)


def sound(*channels: list[float], rate: int = 48_000) -> dict[str, Any]:
    return {"waveform": torch.tensor([channels]), "sample_rate": rate}


def tone(hertz: float, rate: int, samples: int) -> torch.Tensor:
    times = torch.arange(samples, dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * hertz * times).float()[None, None]


def test_volume_is_in_decibels() -> None:
    quiet = sound([0.1, -0.2])
    (louder,) = AudioAdjustVolume().adjust_volume(quiet, 20)
    torch.testing.assert_close(louder["waveform"], torch.tensor([[[1.0, -2.0]]]))
    assert louder["sample_rate"] == 48_000
    (halved,) = AudioAdjustVolume().adjust_volume(quiet, -6)
    torch.testing.assert_close(halved["waveform"], quiet["waveform"] * 10**-0.3)
    assert AudioAdjustVolume().adjust_volume(quiet, 0)[0] is quiet


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("add", [0.75, 0.0, 0.5]),
        ("mean", [0.375, 0.0, 0.25]),
        ("subtract", [0.25, 0.5, 0.5]),
        ("multiply", [0.125, -0.0625, 0.0]),
    ],
)
def test_merge_is_as_long_as_the_first(method: str, expected: list[float]) -> None:
    """0.0 beyond the second one's end."""
    (merged,) = AudioMerge().merge(sound([0.5, 0.25, 0.5]), sound([0.25, -0.25]), method)
    assert merged["waveform"].tolist() == [[expected]]
    longer = sound([0.25, -0.25, 0.0, 1.0, 1.0])
    (cut,) = AudioMerge().merge(sound([0.5, 0.25, 0.5]), longer, method)
    assert cut["waveform"].tolist() == [[expected]]


def test_merge_does_not_go_over_full_scale() -> None:
    stereo, mono = sound([0.5, 1.0], [1.0, 0.0]), sound([0.5, 1.0])
    (merged,) = AudioMerge().merge(stereo, mono, "add")
    assert merged["waveform"].tolist() == [[[0.5, 1.0], [0.75, 0.5]]]
    nothing = {"waveform": torch.zeros(1, 1, 0), "sample_rate": 8_000}
    assert AudioMerge().merge(nothing, nothing, "add")[0]["waveform"].shape == (1, 1, 0)


def test_channels_apart_and_together() -> None:
    stereo = sound([0.1, 0.2], [0.3, 0.4])
    left, right = SplitAudioChannels().separate(stereo)
    assert torch.equal(left["waveform"], stereo["waveform"][:, :1])
    assert torch.equal(right["waveform"], stereo["waveform"][:, 1:])
    (joined,) = JoinAudioChannels().execute(right, left)
    assert torch.equal(joined["waveform"], stereo["waveform"].flip(1))
    (short,) = JoinAudioChannels().execute(left, sound([0.5]))
    torch.testing.assert_close(short["waveform"], torch.tensor([[[0.1], [0.5]]]))
    with pytest.raises(ValueError, match="audio must have two channels, not 1"):
        SplitAudioChannels().separate(left)
    with pytest.raises(ValueError, match="audio_right must have one channel, not 2"):
        JoinAudioChannels().execute(left, stereo)


def test_silence() -> None:
    (made,) = EmptyAudio().create_empty_audio(0.5, 8_000, 2)
    assert made["sample_rate"] == 8_000
    assert made["waveform"].shape == (1, 2, 4_000) and not made["waveform"].any()


@pytest.mark.parametrize("given", [None, {"waveform": [0.0]}, torch.zeros(1, 1, 4)])
def test_what_is_no_sound_is_refused_by_name(given: Any) -> None:
    with pytest.raises(ValueError, match=r"audio must be sound with a waveform"):
        AudioAdjustVolume().adjust_volume(given, 3)


@pytest.mark.parametrize(("rate", "wanted"), [(44_100, 48_000), (48_000, 44_100), (8_000, 48_000)])
def test_a_tone_stays_the_same_tone(rate: int, wanted: int) -> None:
    samples = rate // 10
    made = resample(tone(1_000, rate, samples).repeat(2, 3, 1), rate, wanted)
    assert made.shape == (2, 3, wanted // 10)
    inside = slice(100, -100)  # it begins and ends out of silence
    expected = tone(1_000, wanted, made.shape[-1]).expand_as(made)
    torch.testing.assert_close(made[..., inside], expected[..., inside], rtol=0, atol=2e-3)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    made = resample(tone(15_000, 48_000, 4_800), 48_000, 16_000)
    assert made.shape == (1, 1, 1_600) and made[..., 50:-50].abs().max() < 0.02


def test_two_rates_meet_at_the_higher_one() -> None:
    one = {"waveform": tone(440, 48_000, 4_800), "sample_rate": 48_000}
    other = {"waveform": tone(440, 44_100, 4_410), "sample_rate": 44_100}
    (difference,) = AudioMerge().merge(other, one, "subtract")
    assert difference["sample_rate"] == 48_000 and difference["waveform"].shape == (1, 1, 4_800)
    assert difference["waveform"][..., 100:-100].abs().max() < 2e-3
