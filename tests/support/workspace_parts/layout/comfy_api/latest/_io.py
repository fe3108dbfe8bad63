"""The part of V3's ``io`` that a node pack for tests needs."""

import enum
import inspect
from dataclasses import dataclass, field

from comfy_api.internal import _ComfyNodeInternal, _NodeOutputInternal
from comfy_execution.graph_utils import ExecutionBlocker


class Hidden(str, enum.Enum):
    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"


class _Socket:
    def __init__(self, id=None, *, optional=False, lazy=None, **options):  # noqa: A002
        self.id, self.optional = id, optional
        self.is_output_list = options.pop("is_output_list", False)
        given = {"lazy": lazy, **options}
        self.options = {name: value for name, value in given.items() if value is not None}


def _kind(io_type):
    sockets = {name: type(name, (_Socket,), {"io_type": io_type}) for name in ("Input", "Output")}
    return type(io_type.title(), (), {"io_type": io_type, **sockets})


Image, Mask, Int, Float, String, Boolean = map(
    _kind, ("IMAGE", "MASK", "INT", "FLOAT", "STRING", "BOOLEAN")
)


@dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    hidden: list = field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    enable_expand: bool = False


class NodeOutput(_NodeOutputInternal):
    def __init__(self, *args, ui=None, expand=None, block_execution=None):
        self.args, self.ui, self.expand = args, ui, expand
        self.block_execution = block_execution

    @property
    def result(self):
        return self.args if self.args else None


class _FromSchema:
    """A class attribute that the schema holds."""

    def __init__(self, read):
        self._read = read

    def __get__(self, _, owner):
        return self._read(owner.GET_SCHEMA())


class _Base(_ComfyNodeInternal):
    hidden = None
    RETURN_TYPES = _FromSchema(lambda s: [output.io_type for output in s.outputs])
    RETURN_NAMES = _FromSchema(lambda s: [output.io_type for output in s.outputs])
    OUTPUT_IS_LIST = _FromSchema(lambda s: [output.is_output_list for output in s.outputs])
    INPUT_IS_LIST = _FromSchema(lambda s: s.is_input_list)
    OUTPUT_NODE = _FromSchema(lambda s: s.is_output_node)
    CATEGORY = _FromSchema(lambda s: s.category)
    DESCRIPTION = _FromSchema(lambda s: s.description)

    class _Function:
        def __get__(self, _, owner):
            asynchronous = inspect.iscoroutinefunction(owner.execute)
            return "EXECUTE_NORMALIZED_ASYNC" if asynchronous else "EXECUTE_NORMALIZED"

    FUNCTION = _Function()

    @classmethod
    def define_schema(cls):
        raise NotImplementedError

    @classmethod
    def validate_inputs(cls, **inputs):
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        raise NotImplementedError

    @classmethod
    def check_lazy_status(cls, **inputs):
        raise NotImplementedError

    @classmethod
    def GET_BASE_CLASS(cls):
        return _Base

    @classmethod
    def GET_SCHEMA(cls):
        schema = cls.define_schema()
        cls.SCHEMA = schema
        return schema

    @classmethod
    def GET_NODE_INFO_V1(cls):
        schema = cls.GET_SCHEMA()
        return {
            "input": cls.INPUT_TYPES(),
            "input_order": {k: list(v) for k, v in cls.INPUT_TYPES().items()},
            "output": cls.RETURN_TYPES,
            "output_is_list": cls.OUTPUT_IS_LIST,
            "output_name": cls.RETURN_NAMES,
            "name": schema.node_id,
            "display_name": schema.display_name or schema.node_id,
            "description": schema.description,
            "python_module": getattr(cls, "RELATIVE_PYTHON_MODULE", "nodes"),
            "category": schema.category,
            "output_node": schema.is_output_node,
        }

    @classmethod
    def INPUT_TYPES(cls, include_hidden=True, return_schema=False):
        schema = cls.GET_SCHEMA()
        inputs = {"required": {}}
        for socket in schema.inputs:
            category = "optional" if socket.optional else "required"
            inputs.setdefault(category, {})[socket.id] = (socket.io_type, socket.options)
        if schema.hidden and include_hidden:
            inputs["hidden"] = {hidden.name: (hidden.value,) for hidden in schema.hidden}
        return (inputs, schema) if return_schema else inputs

    @classmethod
    def PREPARE_CLASS_CLONE(cls, hidden_inputs):
        owner = cls if isinstance(cls, type) else type(cls)
        return type(f"{owner.__name__}Clone", (owner,), {"hidden": _Holder(hidden_inputs or {})})

    @classmethod
    def EXECUTE_NORMALIZED(cls, **inputs):
        return _normal(cls.execute(**inputs))

    @classmethod
    async def EXECUTE_NORMALIZED_ASYNC(cls, **inputs):
        return _normal(await cls.execute(**inputs))


class _Holder:
    def __init__(self, hidden):
        for entry in Hidden:
            setattr(self, entry.name, hidden.get(entry.value))


def _normal(result):
    if isinstance(result, NodeOutput):
        return result
    if isinstance(result, ExecutionBlocker):
        return NodeOutput(block_execution=result.message)
    return NodeOutput(*(result or ()))


class ComfyNode(_Base):
    pass
