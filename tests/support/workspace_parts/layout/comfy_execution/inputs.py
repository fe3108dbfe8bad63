"""What a node's inputs are declared as, and what it is called with."""

from comfy_execution.graph_utils import is_link


def has_own(cls, method):
    """V3's base class has placeholders of all of them."""
    found = getattr(cls, method, None)
    if found is None or not hasattr(cls, "GET_BASE_CLASS"):
        return found is not None
    return found.__func__ is not getattr(cls.GET_BASE_CLASS(), method).__func__


def declared(cls):
    """{name: (category, type, options)} of required, optional and hidden inputs."""
    found = {}
    for category, inputs in cls.INPUT_TYPES().items():
        for name, entry in inputs.items():
            kind, *rest = (entry,) if isinstance(entry, str) else entry
            found[name] = (category, kind, rest[0] if rest else {})
    return found


def is_lazy(cls, name):
    return bool(declared(cls).get(name, ("", "", {}))[2].get("lazy"))


def gather(node, cls, known, hidden):
    """``(columns, missing)``: each input as a list of values; a link that is not in ``known``
    (node id -> outputs) gives None; one that is gives its values, also when it is lazy and was not
    asked for. A literal that is not declared is left out."""
    inputs = declared(cls)
    columns, missing = {}, set()
    for name, value in node["inputs"].items():
        raw = inputs.get(name, ("", "", {}))[2].get("rawLink")
        if is_link(value) and not raw:
            outputs = known.get(value[0])
            if outputs is None or value[1] >= len(outputs):
                columns[name] = [None]
                missing.add(name)
            else:
                columns[name] = outputs[value[1]]
        elif name in inputs:
            columns[name] = [value]
    if not hasattr(cls, "GET_SCHEMA"):
        for name, (category, kind, _) in inputs.items():
            if category == "hidden":
                columns[name] = [hidden.get(kind)]
    return columns, missing


def rows(columns, whole):
    """The calls that columns of values mean; the last value of a short column is repeated."""
    if whole or not columns:
        return [columns]
    count = max(len(column) for column in columns.values())
    return [
        {name: column[min(i, len(column) - 1)] for name, column in columns.items()}
        for i in range(count)
    ]
