"""The command line, read once, when this is imported."""

import argparse

import comfy.options

parser = argparse.ArgumentParser()
for flag in ("--cpu", "--gpu-only", "--highvram", "--lowvram", "--disable-all-custom-nodes"):
    parser.add_argument(flag, action="store_true")
for flag in ("--front-end-root", "--base-directory", "--user-directory", "--cuda-device"):
    parser.add_argument(flag)
parser.add_argument("--extra-model-paths-config", nargs="+", action="append")
parser.add_argument("--whitelist-custom-nodes", nargs="+", default=[])

args = parser.parse_args(None if comfy.options.args_parsing else [])
