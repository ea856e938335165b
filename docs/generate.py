"""Write docs/reference.md from the docstrings of the installed package: ``python docs/generate.py``.

The same sources give the same bytes on every Python: annotations are shown as they are
written, members in the order of their definition.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("reference.md")

HEAD = """# API reference

Generated from the docstrings by `python docs/generate.py`; a test fails where the two differ.
The command line is in [README.md](../README.md#command-line), the pytest plugin in [testing.md](testing.md).
"""

# Each module, and what of it is shown: in this order.
MODULES: dict[str, tuple[str, ...]] = {
    "glowplug": ("S3", "BucketList", "Bucket", "Stats"),
    "glowplug.aio": ("S3",),
    "glowplug.errors": (),  # all, in the order of their definition
    "glowplug._client": ("client", "Client", "ListBucketsPaginator", "PageIterator", "Exceptions", "ClientError", "ParamValidationError", "NotSupportedError"),
    "glowplug.testing": (),
}
TITLES = {"glowplug._client": "The drop-in for boto3: `glowplug.client`"}
SPECIAL = ("__len__", "__getitem__", "__iter__", "__aiter__")  # methods with two underscores that are more than protocol


def generate() -> str:
    """Return the page."""
    lines = [HEAD]
    for name, members in MODULES.items():
        module = importlib.import_module(name)
        lines += ["", f"## {TITLES.get(name, f'`{name}`')}", ""]
        lines += _docstring(module)
        for member in members or _defined(module):
            value: Any = getattr(module, member)
            member = f"aio.{member}" if name == "glowplug.aio" else member
            lines += _class(member, value) if inspect.isclass(value) else _function(f"### `{member}", value)
    text = "\n".join(lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _defined(module: Any) -> list[str]:
    names = [n for n in module.__all__ if inspect.isclass(getattr(module, n)) or inspect.isroutine(getattr(module, n))]
    order = list(vars(module))
    return sorted(names, key=lambda n: order.index(n) if n in order else len(order))


def _class(name: str, cls: type) -> Iterator[str]:
    bases = [b.__name__ if b.__module__ != builtins.__name__ else f"builtins.{b.__name__}" for b in cls.__bases__ if b is not object and not b.__name__.startswith("_")]
    init = vars(cls).get("__init__")
    yield from ("", f"### `class {name}{_bases(bases)}`", "")
    if init is not None and not issubclass(cls, BaseException):
        yield from ("```text", _signature(name, init), "```", "")
    yield from _docstring(cls)
    for member, value in vars(cls).items():
        if member.startswith("_") and member not in SPECIAL:
            continue
        if isinstance(value, property):
            yield from ("", f"#### `{name}.{member}: {_annotation(value.fget)}`", "")
            yield from _docstring(value)
        elif isinstance(value, (classmethod, staticmethod)) or inspect.isfunction(value):
            function: Any = getattr(value, "__func__", value)
            if function.__doc__:
                yield from _function(f"#### `{name}.{member}", function)


def _bases(bases: list[str]) -> str:
    return f"({', '.join(bases)})" if bases else ""


def _function(heading: str, function: Any) -> Iterator[str]:
    name = heading.rpartition("`")[2]
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    yield from ("", f"{heading}()`", "", "```text", prefix + _signature(name, function), "```", "")
    yield from _docstring(function)


def _annotation(function: Any) -> str:
    return str(function.__annotations__.get("return", ""))


def _signature(name: str, function: Any) -> str:
    """Return the call as it is written, over several lines where it is long."""
    parts: list[str] = []
    starred = False
    for p in inspect.signature(function).parameters.values():
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        starred |= p.kind is p.VAR_POSITIONAL
        typed = f": {p.annotation}" if p.annotation is not p.empty else ""
        default = f" = {p.default!r}" if p.default is not p.empty else ""
        parts.append(f"{stars}{p.name}{typed}{default}")
    returned = _annotation(function)
    arrow = f" -> {returned}" if returned and not function.__name__.startswith("__init__") else ""
    line = f"{name}({', '.join(parts)}){arrow}"
    if len(line) <= 110:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){arrow}"


SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$")


def _docstring(thing: Any) -> Iterator[str]:
    """Yield a docstring as Markdown: its sections as lists, its references as code."""
    inside, example, entry = "", False, ""
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if line.startswith(">>>") != example and (not example or not line.startswith(("...", "[", "(", "'"))):
            yield "```pycon" if not example else "```"
            example = not example
        if example:
            yield line
            continue
        if found := SECTION.match(line):
            inside, entry = found[1], ""
            yield from (f"**{'Arguments' if inside == 'Args' else inside}**", "")
            continue
        if inside and line and not line.startswith(" "):
            inside = ""
            yield ""
        if not inside:
            yield _inline(line)
        elif line.startswith("        ") and entry:
            yield "  " + _inline(line.strip())
        elif line:
            entry = line.strip()
            head, colon, rest = entry.partition(":")
            if inside in ("Returns", "Yields"):
                yield _inline(entry)
                entry = ""
            else:
                yield f"- `{head}`:{_inline(rest)}" if colon and "`" not in head else f"- {_inline(entry)}"
        else:
            yield ""
    if example:
        yield "```"
    yield ""


def _inline(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:glowplug\.)?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(generate(), encoding="utf-8")
    print(f"wrote {PAGE}", file=sys.stderr)
