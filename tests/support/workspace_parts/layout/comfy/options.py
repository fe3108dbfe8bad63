"""main.py switches the command line on before anything reads it; nobody else should."""

args_parsing = False


def enable_args_parsing(enable=True):
    globals()["args_parsing"] = enable
