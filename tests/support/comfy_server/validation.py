"""Check prompts against the node classes, as ComfyUI does."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from support.comfy_server.prompts import annotated, upstream

Classes = Mapping[str, Any]  # the node classes by name, as in /object_info


def validate(
    nodes: dict[str, Any], classes: Classes, files: Container[tuple[str, str, str]]
) -> tuple[list[str], dict[str, Any] | None, dict[str, Any]]:
    """Return valid outputs, the error if there are none, and the errors by node."""
    for node, content in nodes.items():
        if not isinstance(content, dict) or "class_type" not in content:
            reason = "Cannot execute because a node is missing the class_type property."
            return [], error_of("invalid_prompt", reason, f"Node ID '#{node}'"), {}
        kind = content["class_type"]
        if kind not in classes:
            reason = f"Cannot execute because node {kind} does not exist."
            return [], error_of("invalid_prompt", reason, f"Node ID '#{node}'"), {}
    outputs = [n for n in nodes if classes[nodes[n]["class_type"]]["output_node"]]
    if not outputs:
        return [], error_of("prompt_no_outputs", "Prompt has no outputs"), {}
    wrong: dict[str, Any] = {}
    good = []
    for output in outputs:
        faulty = [n for n in upstream(nodes, output) if _faults(nodes, n, classes, files)]
        for node in faulty:
            found = {
                "errors": _faults(nodes, node, classes, files),
                "dependent_outputs": [],
                "class_type": nodes[node]["class_type"],
            }
            wrong.setdefault(node, found)["dependent_outputs"].append(output)
        if not faulty:
            good.append(output)
    if good:
        return good, None, wrong
    reason = "Prompt outputs failed validation"
    return [], error_of("prompt_outputs_failed_validation", reason), wrong


def _faults(
    nodes: dict[str, Any], node: str, classes: Classes, files: Container[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    found = []
    inputs = nodes[node].get("inputs", {})
    taken = classes[nodes[node]["class_type"]]["input"]
    for name, config in {**taken["required"], **taken.get("optional", {})}.items():
        if name not in inputs and name not in taken["required"]:
            continue
        if name not in inputs:
            found.append(error_of("required_input_missing", "Required input is missing", name))
        elif isinstance(inputs[name], list):
            found += _link_faults(nodes, name, inputs[name], config, classes)
        else:
            found += _value_faults(name, inputs[name], config, files)
    return found


def _link_faults(
    nodes: dict[str, Any], name: str, link: list[Any], config: list[Any], classes: Classes
) -> list[dict[str, Any]]:
    if len(link) != 2 or link[0] not in nodes:
        message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
        return [error_of("bad_linked_input", message, name, name, config, link)]
    given = classes[nodes[link[0]]["class_type"]]["output"][link[1]]
    if given != config[0]:
        details = f"{name}, received_type({given}) mismatch input_type({config[0]})"
        message = "Return type mismatch between linked nodes"
        return [error_of("return_type_mismatch", message, details, name, config)]
    return []


def _value_faults(
    name: str, value: Any, config: list[Any], files: Container[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    kind, limits = config[0], config[1] if len(config) > 1 else {}
    if limits.get("image_upload"):
        if annotated(str(value)) not in files:
            details = f"{name} - Invalid image file: {value}"
            message = "Custom validation failed for node"
            return [error_of("custom_validation_failed", message, details, name, config, value)]
    elif isinstance(kind, list):
        if value not in kind:
            listed = str(kind) if len(kind) <= 20 else f"(list of length {len(kind)})"
            details = f"{name}: '{value}' not in {listed}"
            return [
                error_of("value_not_in_list", "Value not in list", details, name, config, value)
            ]
    elif kind in ("INT", "FLOAT"):
        return _number_faults(name, value, config)
    return []


def _number_faults(name: str, value: Any, config: list[Any]) -> list[dict[str, Any]]:
    kind, limits = config[0], config[1] if len(config) > 1 else {}
    try:
        number = int(value) if kind == "INT" else float(value)
    except (TypeError, ValueError) as error:
        message = f"Failed to convert an input value to a {kind} value"
        details = f"{name}, {value}, {error}"
        return [error_of("invalid_input_type", message, details, name, config, value)]
    if "min" in limits and number < limits["min"]:
        message = f"Value {value} smaller than min of {limits['min']}"
        return [error_of("value_smaller_than_min", message, name, name, config, value)]
    if "max" in limits and number > limits["max"]:
        message = f"Value {value} bigger than max of {limits['max']}"
        return [error_of("value_bigger_than_max", message, name, name, config, value)]
    return []


def error_of(
    kind: str,
    message: str,
    details: str = "",
    name: str | None = None,
    config: Any = None,
    value: Any = None,
) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if name is not None:
        extra = {"input_name": name, "input_config": config, "received_value": value}
    elif kind == "required_input_missing":
        extra = {"input_name": details}
    return {"type": kind, "message": message, "details": details, "extra_info": extra}
