"""What nodes use to stop a branch, and what tells a link from a value."""


class ExecutionBlocker:
    def __init__(self, message):
        self.message = message


def is_link(value):
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
