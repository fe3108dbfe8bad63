"""The picture that is shown while a new workflow loads, and when."""

from __future__ import annotations

import numpy as np

from workers.stages.notice import Loading, loading_notice


def test_it_is_due_after_a_moment_and_until_all_is_settled() -> None:
    loading = Loading("notice", after_s=0.25)
    assert not loading.is_due(100.0)
    loading.asked(10.0)
    assert not loading.is_due(10.2) and loading.is_due(10.3)
    loading.asked(11.0)
    loading.settled()
    assert loading.is_due(11.1)  # the second one loads, and the wait began with the first
    loading.settled()
    assert not loading.is_due(20.0)
    loading.asked(20.0)
    assert not loading.is_due(20.1) and loading.is_due(20.3)


def test_only_who_asks_for_it_gets_it() -> None:
    loading = Loading("old")
    loading.asked(0.0)
    assert not loading.is_due(10.0)
    loading.change(None)
    assert not loading.is_due(10.0)
    loading.change("notice")
    assert loading.is_due(10.0)
    loading.change("old")
    assert not loading.is_due(10.0)


def test_the_source_is_dark_behind_a_wheel_that_turns() -> None:
    source = np.full((120, 160, 3), 200, np.uint8)
    first, later = loading_notice(source, (160, 120), 0.0), loading_notice(source, (160, 120), 0.4)
    assert first.shape == (120, 160, 3) and (source == 200).all()
    assert (first[:20] == 50).all() and (first[:, :20] == 50).all()
    assert first.max() == 255 and later.max() > 220
    assert (first != later).any()
    bright = np.argwhere(first[..., 0] == 255)
    assert abs(bright[:, 1].mean() - 80) < 3 and bright[:, 0].max() < 60  # its head is at the top


def test_any_size_will_do() -> None:
    tiny = np.full((16, 16, 3), 255, np.uint8)
    assert loading_notice(tiny, (16, 16), 1.0).shape == (16, 16, 3)
    assert loading_notice(tiny, (64, 32), 1.0).shape == (32, 64, 3)
