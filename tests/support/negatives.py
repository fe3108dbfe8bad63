"""Pictures of a stream that inverts the test pattern, checked."""

from __future__ import annotations

import numpy as np

from comfytrickle.client import Picture
from comfytrickle.testsrc import counter
from comfytrickle.testsrc.pattern import Pattern
from tests.support.pool import ROOT

INVERT = ROOT / "examples" / "workflows" / "invert.json"
PATTERN = Pattern(128, 128, 30)


def check_negative(picture: Picture) -> int:
    """Assert that it is the negative of the very frame of PATTERN, sent at 30 a second, whose pts
    it has. The frame's number."""
    assert picture.pts is not None and picture.time is not None
    n = picture.pts // 3000
    rgb = picture.rgb()
    assert (counter.read(rgb), counter.is_inverted(rgb)) == (n, True)
    assert (picture.side, picture.marked) == ("out", False)
    assert rgb.shape == (128, 128, 3) == (picture.height, picture.width, 3)
    wanted = 255 - PATTERN.render(n).astype(int)
    assert np.abs(rgb - wanted).mean() < 6  # what JPEG does to sharp edges
    assert 0 < picture.received - picture.time < 60
    return n
