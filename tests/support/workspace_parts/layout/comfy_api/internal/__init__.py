"""What every version of the V3 interface builds on."""


class _ComfyNodeInternal:
    pass


class _NodeOutputInternal:
    pass


def first_real_override(cls, name, *, base=None):
    """The method when ``cls`` has one of its own, else None."""
    base = base or cls.GET_BASE_CLASS()
    found = getattr(cls, name, None)
    placeholder = getattr(base, name, None)
    if found is None or getattr(found, "__func__", None) is getattr(placeholder, "__func__", 0):
        return None
    return found
