"""`comfytrickle demo`: the whole path on one machine, every frame counted, timed and looked at."""
