"""Tools in chats, as text: the listing a system turn carries and the calls an assistant makes.

Two styles: `default`, the ReAct-like one of LLaMA-Factory, and `qwen`, the one of Qwen2.5's and Qwen3's chat templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from r1zero.data.read.cells import BadRow

Style = Literal["default", "qwen"]
_THOUGHT = re.compile(r"<think>.*</think>", re.DOTALL)


def list_tools(tools: str, style: Style) -> str:
    """The text that tells a model of its tools. `tools` is a JSON list of functions; raises BadRow if it is not."""
    try:
        entries = json.loads(tools)
    except ValueError as error:
        raise BadRow(f"the tools are not valid JSON: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadRow("the tools must be a JSON list of functions")
    if not entries:
        return ""
    if style == "qwen":
        return _qwen_listing(entries)
    try:
        return _default_listing([entry.get("function", entry) for entry in entries])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRow(f"a tool needs name and parameters.properties: {error!r}") from None


def parse_calls(content: str, style: Style) -> tuple[str, list[tuple[str, str]]]:
    """The thought before the calls, and (name, arguments as JSON) of each, from JSON with name and arguments or a list
    of them. Raises BadRow."""
    thought = _THOUGHT.search(content) if style == "qwen" else None
    try:
        calls = json.loads(content.replace(thought.group(), "") if thought else content)
        calls = calls if isinstance(calls, list) else [calls]
        pairs = [(str(call["name"]), _json(call["arguments"])) for call in calls]
    except (ValueError, KeyError, TypeError):
        pairs = []
    if not pairs:
        raise BadRow(f"a function call must be JSON with name and arguments, found {content[:80]!r}")
    return thought.group() if thought else "", pairs


def call_text(calls: Sequence[tuple[str, str]], style: Style) -> str:
    """The text of calls."""
    if style == "qwen":
        bodies = (f'{{"name": {_json(name)}, "arguments": {arguments}}}' for name, arguments in calls)
        return "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)
    return "\n".join(f"Action: {name}\nAction Input: {arguments}" for name, arguments in calls)


def _qwen_listing(entries: Sequence[Mapping[str, Any]]) -> str:
    wrapped = (
        entry if entry.get("type") == "function" else {"type": "function", "function": entry} for entry in entries
    )
    return (
        "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
        + "".join(f"\n{_json(entry)}" for entry in wrapped)
        + "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
        '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
        "</tool_call>"
    )


def _default_listing(entries: Sequence[Mapping[str, Any]]) -> str:
    blocks = [
        f"> Tool Name: {tool['name']}\nTool Description: {tool.get('description', '')}\nTool Args:\n"
        + "".join(
            _parameter(name, value, tool["parameters"]) for name, value in tool["parameters"]["properties"].items()
        )
        + "\n"
        for tool in entries
    ]
    names = ", ".join(tool["name"] for tool in entries)
    return (
        f"You have access to the following tools:\n{''.join(blocks)}Use the following format if using a tool:\n"
        f"```\nAction: tool name (one of [{names}]).\nAction Input: the input to the tool, in a JSON format "
        'representing the kwargs (e.g. ```{"input": "hello world", "num_beams": 5}```).\n```\n'
    )


def _parameter(name: str, parameter: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    required = ", required" if name in parameters.get("required", []) else ""
    choices = f", should be one of [{', '.join(parameter['enum'])}]" if parameter.get("enum") else ""
    items = f", where each item should be {parameter['items'].get('type', '')}" if parameter.get("items") else ""
    kind, description = parameter.get("type", ""), parameter.get("description", "")
    return f"  - {name} ({kind}{required}): {description}{choices}{items}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
