"""Can this engine run this workflow? The rules, and the words, of ComfyUI's validate_prompt.

Every node's type must exist. Nodes that an output depends on are looked at closely: required
inputs, links and their types, ranges, choices, the node's own VALIDATE_INPUTS. All errors are
found, at most one for each input as in ComfyUI (and one for each input that VALIDATE_INPUTS saw).
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfytrickle.errors import NodeError
from comfytrickle.workflow.model import Node, Workflow, is_link, unwrap_value
from workers.engine.contracts import is_async, validation_function
from workers.engine.needed import needed_nodes
from workers.engine.spec import InputSpec, NodeSpec, convert_literal, read_spec
from workers.engine.unsupported import unsupported

_log = logging.getLogger(__name__)
_SHOWN_CHOICES = 20
_SHOWN_VALUE = 40  # characters
_WANTED = {"INT": "a whole number", "FLOAT": "a number"}  # the other types take any literal


def check_workflow(
    workflow: Workflow, classes: Mapping[str, Any], absent: Mapping[str, str] | None = None
) -> list[NodeError]:
    """Everything wrong with it. Empty: it can run.

    ``absent``: node types that could be had -> what is missing for them.
    """
    errors = [
        _missing_type(node, classes, absent or {})
        for node in workflow.nodes.values()
        if node.class_type not in classes
    ]
    needed = needed_nodes(workflow, classes)
    for node_id in workflow.order:
        node = workflow.nodes[node_id]
        if node_id in needed and node.class_type in classes:
            errors += _check_guarded(node, workflow, classes)
    return errors


def _missing_type(node: Node, classes: Mapping[str, Any], absent: Mapping[str, str]) -> NodeError:
    if node.class_type in absent:
        return NodeError(
            "missing_node_type",
            f"node type {node.class_type!r} is not available: {absent[node.class_type]}",
            node.id,
            node.class_type,
        )
    by_lower = {name.lower(): name for name in classes}
    wanted = node.class_type.lower()
    near = [by_lower[n] for n in difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.6)]
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return NodeError(
        "missing_node_type",
        f"there is no node type {node.class_type!r} here{hint}",
        node.id,
        node.class_type,
        details=", ".join(near),
    )


def _check_guarded(node: Node, workflow: Workflow, classes: Mapping[str, Any]) -> list[NodeError]:
    errors: list[NodeError] = []
    try:
        spec = read_spec(node.class_type, classes[node.class_type])
        check = _NodeCheck(node, spec, workflow, classes, errors)
        check.inputs()
        check.own_validation()
        errors += unsupported(node, spec)
    except Exception as error:  # noqa: BLE001 - the node's own code; reported to the caller
        _log.warning("checking node %s (%s) raised", node.id, node.class_type, exc_info=True)
        text = f"{type(error).__name__}: {error}"
        errors.append(
            NodeError(
                "exception_during_validation",
                f"checking the node raised {text}",
                node.id,
                node.class_type,
                details=text,
            )
        )
    return errors


@dataclass
class _NodeCheck:
    """The state of checking one node."""

    node: Node
    spec: NodeSpec
    workflow: Workflow
    classes: Mapping[str, Any]
    errors: list[NodeError]  # filled as they are found
    literals: dict[str, Any] = field(default_factory=dict)  # as the node would get them
    received: dict[str, Any] = field(default_factory=dict)  # input -> type of what is linked

    def __post_init__(self) -> None:
        self.validator = validation_function(self.spec.cls)
        self.asks: frozenset[str] = frozenset()
        self.asks_all = False
        if self.validator is not None:
            signature = inspect.getfullargspec(self.validator)
            self.asks = frozenset(signature.args + signature.kwonlyargs)
            self.asks_all = signature.varkw is not None

    def inputs(self) -> None:
        for declared in self.spec.inputs():
            if declared.name not in self.node.inputs:
                if declared.required:
                    self._add("required_input_missing", "the input is required", declared.name)
                continue
            value = self.node.inputs[declared.name]
            if is_link(value):
                self._link(declared, value)
            else:
                self._literal(declared, value)
        if self.node.id == self.workflow.frame_output:
            images = self.node.inputs.get("images")
            if not is_link(images) and not self.errors:
                self._add("bad_linked_input", "must be linked to an image", "images")

    def _link(self, declared: InputSpec, value: list[Any]) -> None:
        source = self.workflow.nodes[value[0]]
        source_class = self.classes.get(source.class_type)
        if source_class is None:
            return  # reported as a missing node type
        returns = source_class.RETURN_TYPES
        if value[1] >= len(returns):
            self._add(
                "bad_linked_input",
                f"node {source.id} ({source.class_type}) has {len(returns)} outputs; "
                f"there is no output {value[1]}",
                declared.name,
            )
            return
        received = returns[value[1]]
        self.received[declared.name] = received
        if "input_types" not in self.asks and not types_match(received, declared.type):
            self._add(
                "return_type_mismatch",
                f"node {source.id} ({source.class_type}) gives {received}, "
                f"the input takes {declared.type}",
                declared.name,
            )

    def _literal(self, declared: InputSpec, value: Any) -> None:
        value = unwrap_value(value)
        try:
            value = convert_literal(declared.type, value)
        except (TypeError, ValueError, OverflowError):
            wanted, got = _WANTED.get(declared.type, declared.type), _shown(value)
            self._add("invalid_input_type", f"must be {wanted}, not {got}", declared.name)
            return
        self.literals[declared.name] = value
        if declared.name in self.asks or self.asks_all:
            return  # the node judges this one itself
        options = declared.options
        if "min" in options and value < options["min"]:
            self._add("value_smaller_than_min", f"{value} < {options['min']}", declared.name)
        elif "max" in options and value > options["max"]:
            self._add("value_bigger_than_max", f"{value} > {options['max']}", declared.name)
        else:
            choices = _choices(declared)
            several = options.get("multiselect") and isinstance(value, list)
            chosen = value if several else [value]
            if choices is not None and any(choice not in choices for choice in chosen):
                known = (
                    f"one of {list(choices)}"
                    if len(choices) <= _SHOWN_CHOICES
                    else f"one of {len(choices)} choices"
                )
                self._add("value_not_in_list", f"{value!r} is not {known}", declared.name)

    def own_validation(self) -> None:
        """VALIDATE_INPUTS is asked with the inputs that it names; links count as None."""
        if self.validator is None or is_async(self.validator):
            return
        if any(self.asks_all or error.input_name in self.asks for error in self.errors):
            return  # it could only stumble over what is reported already
        values = {
            name: None if is_link(raw) else self.literals.get(name, unwrap_value(raw))
            for name, raw in self.node.inputs.items()
            if (name in self.asks or self.asks_all)
            and (is_link(raw) or self.spec.input(name) is not None)
        }
        if "input_types" in self.asks:
            values["input_types"] = self.received
        answer = self.validator(**values)
        if answer is not True:
            reason = "the node refuses it" if answer is False else str(answer)
            for name in values:
                self._add("custom_validation_failed", reason, name)

    def _add(self, type_: str, message: str, name: str) -> None:
        self.errors.append(
            NodeError(
                type_,
                f"{name}: {message}",
                self.node.id,
                self.node.class_type,
                name,
            )
        )


def types_match(received: Any, wanted: Any) -> bool:
    """ComfyUI's rule: the same, or "*" on either side, or one name in common of "A,B" and "B,C".
    A class may say by its own ``__ne__`` that it matches. A choice out of a list may come from an
    output of type COMBO."""
    if not received != wanted:  # noqa: SIM202 - __ne__ is what such classes override
        return True
    if isinstance(wanted, list | tuple):
        return bool(received == "COMBO")
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    gives = {name.strip() for name in received.split(",")}
    takes = {name.strip() for name in wanted.split(",")}
    return bool("*" in gives or "*" in takes or gives & takes)


def _shown(value: Any) -> str:
    """For people: a value that came as JSON."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= _SHOWN_VALUE else text[: _SHOWN_VALUE - 3] + "..."


def _choices(declared: InputSpec) -> list[Any] | tuple[Any, ...] | None:
    if isinstance(declared.type, list | tuple):
        return declared.type
    options = declared.options.get("options")
    return options if declared.type == "COMBO" and isinstance(options, list | tuple) else None
