"""Not the package utils/ of the root: nodes.py puts this file's folder first on sys.path."""

import torch

PROGRESS_BAR_ENABLED = True
PROGRESS_BAR_HOOK = None


def set_progress_bar_enabled(enabled):
    globals()["PROGRESS_BAR_ENABLED"] = enabled


def set_progress_bar_global_hook(function):
    globals()["PROGRESS_BAR_HOOK"] = function


def common_upscale(samples, width, height, upscale_method, crop):
    """[B, C, H, W]"""
    if crop == "center":
        wide, high = samples.shape[3], samples.shape[2]
        keep_w, keep_h = min(wide, high * width // height), min(high, wide * height // width)
        x, y = (wide - keep_w) // 2, (high - keep_h) // 2
        samples = samples[:, :, y : y + keep_h, x : x + keep_w]
    return torch.nn.functional.interpolate(samples, size=(height, width), mode=upscale_method)
