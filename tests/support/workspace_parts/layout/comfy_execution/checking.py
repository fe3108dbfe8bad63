"""What is wrong with a prompt. Writes the values that it converted into the prompt."""

import inspect
import logging

import nodes
from comfy_execution.calling import call_rows
from comfy_execution.graph_utils import is_link
from comfy_execution.inputs import declared, gather, has_own

_CONVERT = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def _error(kind, message, details, **extra):
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


async def check_prompt(prompt, wanted, async_nodes):
    """``(valid, error, good outputs, node_errors)``; valid as soon as one output is good."""
    outputs = []
    for node_id, node in prompt.items():
        if "class_type" not in node:
            message = "Cannot execute because a node is missing the class_type property."
            return False, _error("invalid_prompt", message, f"Node ID '#{node_id}'"), [], {}
        cls = nodes.NODE_CLASS_MAPPINGS.get(node["class_type"])
        if cls is None:
            message = f"Cannot execute because node {node['class_type']} does not exist."
            return False, _error("invalid_prompt", message, f"Node ID '#{node_id}'"), [], {}
        if getattr(cls, "OUTPUT_NODE", False) and (wanted is None or node_id in wanted):
            outputs.append(node_id)
    if not outputs:
        return False, _error("prompt_no_outputs", "Prompt has no outputs", ""), [], {}
    checker = _Checker(prompt, async_nodes)
    good = [node_id for node_id in outputs if await checker.good(node_id)]
    node_errors = {
        node_id: {
            "errors": errors,
            "dependent_outputs": [o for o in outputs if o not in good],
            "class_type": prompt[node_id]["class_type"],
        }
        for node_id, (_, errors) in checker.done.items()
        if errors
    }
    if node_errors:
        logging.error(f"Failed to validate prompt: {node_errors}")
    if good:
        return True, None, good, node_errors
    said = [
        f"{error['message']}: {error['details']}"
        for entry in node_errors.values()
        for error in entry["errors"]
    ]
    message = "Prompt outputs failed validation"
    error = _error("prompt_outputs_failed_validation", message, "\n".join(said))
    return False, error, [], node_errors


class _Checker:
    def __init__(self, prompt, async_nodes):
        self.prompt = prompt
        self.async_nodes = async_nodes
        self.done = {}  # node id -> (good, errors)

    async def good(self, node_id):
        if node_id not in self.done:
            self.done[node_id] = await self._check(node_id)
        return self.done[node_id][0]

    async def _check(self, node_id):
        node = self.prompt[node_id]
        cls = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
        v3 = hasattr(cls, "GET_SCHEMA")
        name = "validate_inputs" if v3 else "VALIDATE_INPUTS"
        validate = getattr(cls, name) if has_own(cls, name) else None
        spec = inspect.getfullargspec(validate) if validate else None
        own = set(spec.args[1:]) if spec else set()
        errors, good, types = [], True, {}
        for name, (category, kind, options) in declared(cls).items():
            if category == "hidden":
                continue
            if name not in node["inputs"]:
                if category == "required":
                    message = "Required input is missing"
                    errors.append(_error("required_input_missing", message, name, input_name=name))
                continue
            value = node["inputs"][name]
            if is_link(value):
                source = self.prompt[value[0]]["class_type"]
                types[name] = nodes.NODE_CLASS_MAPPINGS[source].RETURN_TYPES[value[1]]
                wrong = []
                if "input_types" not in own and "*" not in (kind, types[name]):
                    wrong = _wrong_type(name, types[name], kind)
                errors += wrong
                if not wrong and not await self.good(value[0]):
                    good = False
            elif isinstance(value, list):
                message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
                errors.append(_error("bad_linked_input", message, name, input_name=name))
            else:
                skip = name in own or bool(spec and spec.varkw)
                errors += _wrong_value(node["inputs"], name, kind, options, skip)
        if validate and not errors:
            errors += await self._own_validation(node, cls, validate.__name__, spec, own, types)
        return good and not errors, errors

    async def _own_validation(self, node, cls, function, spec, own, types):
        columns, _ = gather(node, cls, {}, {})
        columns = {name: c for name, c in columns.items() if spec.varkw or name in own}
        if "input_types" in own:
            columns["input_types"] = [types]
        said = await call_rows(cls, function, columns, None, self.async_nodes)
        return [
            _error(
                "custom_validation_failed",
                "Custom validation failed for node",
                f"{name} - {answer}" if answer is not False else name,
                input_name=name,
            )
            for name in columns
            for answer in said
            if answer is not True
        ]


def _wrong_type(name, received, kind):
    if isinstance(kind, list) or set(received.split(",")) <= set(kind.split(",")):
        return []
    details = f"{name}, received_type({received}) mismatch input_type({kind})"
    message = "Return type mismatch between linked nodes"
    return [_error("return_type_mismatch", message, details, input_name=name)]


def _wrong_value(inputs, name, kind, options, own_check):
    value = inputs[name]
    if isinstance(value, dict) and "__value__" in value:
        value = inputs[name] = value["__value__"]
    try:
        if isinstance(kind, str) and kind in _CONVERT:
            value = inputs[name] = _CONVERT[kind](value)
    except (TypeError, ValueError) as error:
        message = f"Failed to convert an input value to a {kind} value"
        details = f"{name}, {value}, {error}"
        return [_error("invalid_input_type", message, details, input_name=name)]
    if own_check:
        return []
    if "min" in options and value < options["min"]:
        message = f"Value {value} smaller than min of {options['min']}"
        return [_error("value_smaller_than_min", message, name, input_name=name)]
    if "max" in options and value > options["max"]:
        message = f"Value {value} bigger than max of {options['max']}"
        return [_error("value_bigger_than_max", message, name, input_name=name)]
    if isinstance(kind, list) and value not in kind:
        details = f"{name}: '{value}' not in {kind}"
        return [
            _error(
                "value_not_in_list",
                "Value not in list",
                details,
                input_name=name,
                received_value=value,
            )
        ]
    return []
