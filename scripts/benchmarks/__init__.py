"""Parts of scripts/bench.py. Floors and ours are measured on the same clip, in the same run."""
