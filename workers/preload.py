"""What the fork server imports, so that every worker starts with it in place.

Imported by name in the fork server, never by other code. Nothing here may initialise CUDA or start
a thread: both would be broken in the forked workers. ComfyUI is not imported either; it must
initialise with the worker's own device.
"""

from __future__ import annotations

import gc

import torch

import workers.engine.embedded
import workers.inspector
import workers.session
import workers.stream  # noqa: F401  (loaded here so that no worker has to)
from comfytrickle.orphans import adopt_orphans, end_all_with_me
from workers.media.warm import warm_up

# What workers leave behind becomes the fork server's, and does not outlive it: it ends when the
# control plane does.
adopt_orphans()
end_all_with_me()
# One thread while warming up: a thread pool of the fork server would not exist in its children.
torch.set_num_threads(1)
warm_up()
gc.collect()
gc.freeze()  # a collection in a worker would otherwise touch, and so copy, every shared page
