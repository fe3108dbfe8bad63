"""Running maxima and minima over windows and diamonds, in a number of passes that grows with the
logarithm of the size. What lies outside the picture does not count.
"""

from __future__ import annotations

import torch


class Extreme:
    """Either the maximum (dilation) or the minimum (erosion)."""

    def __init__(self, *, maximum: bool) -> None:
        self._pick = torch.maximum if maximum else torch.minimum
        self._all = torch.amax if maximum else torch.amin
        self._outside = -torch.inf if maximum else torch.inf

    def window(self, values: torch.Tensor, before: int, after: int, dim: int) -> torch.Tensor:
        """The extreme of ``before`` values ahead, the value, and ``after`` behind, along ``dim``.

        Returns ``values`` itself when both are 0.
        """
        length = values.shape[dim]
        before, after = min(before, length - 1), min(after, length - 1)
        wanted = before + 1 + after
        if wanted == 1:
            return values
        run = self._padded(values, before, after, dim)
        have = 1  # run[i] covers this many values from i on
        while have < wanted:
            step = min(have, wanted - have)
            size = run.shape[dim] - step
            run = self._pick(run.narrow(dim, 0, size), run.narrow(dim, step, size))
            have += step
        return run

    def diamond(self, masks: torch.Tensor, radius: int) -> torch.Tensor:
        """The extreme of all values at most ``radius`` steps away, rows and columns together.

        ``masks``: [batch, height, width]. Returns it when ``radius`` is 0.
        """
        if radius == 0:
            return masks
        height, width = masks.shape[-2:]
        if radius >= height + width - 2:
            return self._all(masks, dim=(-2, -1), keepdim=True).expand_as(masks).clone()
        # Room for the ways that leave the picture and come back.
        run = self._padded(self._padded(masks, radius, radius, 1), radius, radius, 2)
        have = 0
        while have < radius:
            # Four diamonds of radius r, their centres s <= r away, are together one of r + s.
            step = min(max(have, 1), radius - have)
            run = self._spread(run, step)
            have += step
        return run[:, radius : radius + height, radius : radius + width].contiguous()

    def _spread(self, values: torch.Tensor, step: int) -> torch.Tensor:
        out = values.clone()
        for dim in (1, 2):
            size = values.shape[dim] - step
            for to, source in ((step, 0), (0, step)):
                target = out.narrow(dim, to, size)
                self._pick(target, values.narrow(dim, source, size), out=target)
        return out

    def _padded(self, values: torch.Tensor, before: int, after: int, dim: int) -> torch.Tensor:
        shape = list(values.shape)
        shape[dim] += before + after
        out = values.new_full(shape, self._outside)
        out.narrow(dim, before, values.shape[dim]).copy_(values)
        return out
