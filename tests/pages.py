"""The machinery of tests that hold a page of documentation against the installed wheel.

A ``text`` block is what the ``python`` block before it prints, a ``console`` block what its ``$``
commands print. A python block whose fence names a module besides (```` ```python aioboto3 ````)
is run where that module is installed, and only compiled elsewhere.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import servers

# The account of every page.
BUCKETS = [
    {"name": "acme-backup", "region": "us-west-2", "created": "2024-02-29T12:00:00Z"},
    {"name": "acme-invoices", "region": "eu-central-1", "created": "2023-05-04T09:10:11Z"},
    {"name": "acme-logs", "region": "us-east-1", "created": "2019-12-31T23:59:59Z"},
    {"name": "acme-web", "region": "ap-southeast-2", "created": "2025-01-02T03:04:05Z"},
]


@dataclass(frozen=True)
class Block:
    language: str
    needs: str  # a module
    line: int  # of its first line of code
    code: str


class Page:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    def blocks(self) -> list[Block]:
        return [Block(m[1], m[2], self.text[: m.start(3)].count("\n") + 1, m[3]) for m in re.finditer(r"^```(\w*) ?(\w*)\n(.*?)^```$", self.text, re.M | re.S)]

    def section(self, title: str) -> str:
        """What stands under a heading, up to the next that is not below it."""
        found = re.search(rf"^(#+) {re.escape(title)}\n", self.text, re.M)
        assert found, f"{self.path.name} has no section {title!r}"
        return re.split(rf"^#{{1,{len(found[1])}}} ", self.text[found.end() :], maxsplit=1, flags=re.M)[0]

    def rows(self, title: str) -> list[list[str]]:
        """The cells of the table of a section, without its two head lines."""
        lines = [line for line in self.section(title).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not re.fullmatch(r"[|\- ]+", line)][1:]

    def commands(self) -> list[tuple[str, str]]:
        """The commands of console blocks and what is shown below each."""
        out: list[tuple[str, str]] = []
        for block in self.blocks():
            if block.language == "console":
                out += [(m[1], m[2]) for m in re.finditer(r"^\$ (.*)\n((?:[^$].*\n)*)", block.code, re.M)]
        return out

    def anchors(self) -> set[str]:
        """The headings, as links name them."""
        code = re.sub(r"^```.*?^```$", "", self.text, flags=re.M | re.S)
        return {re.sub(r"[^a-z0-9 _-]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", code, re.M)}

    def run(self, environment: dict[str, str], cwd: Path, *, result: str = "None", timeout: float = 60) -> Any:
        """Run the python blocks as one script, hold what each prints against its ``text`` block, and return ``result`` of it."""
        found = self.blocks()
        python = [(b, then.code if then.language == "text" else "") for b, then in zip(found, [*found[1:], Block("", "", 0, "")]) if b.language == "python"]
        for block, _ in python:
            compile(block.code, self.path.name, "exec")
        runnable = [(b, shown) for b, shown in python if not b.needs or importlib.util.find_spec(b.needs)]
        order = {"page": self.path.name, "blocks": [[b.line, b.code] for b, _ in runnable], "result": result}
        done = subprocess.run([sys.executable, "-c", SCRIPT], input=json.dumps(order), capture_output=True, text=True, env=environment, cwd=cwd, timeout=timeout)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        for (block, shown), printed in zip(runnable, answer["printed"], strict=True):
            assert printed == shown, f"{self.path.name}:{block.line} printed {printed!r}"
        return answer["result"]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def check_links(page: Page) -> None:
    """Each link of a page to this repository leads to a file, or to a heading of it."""
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.text) if "://" not in link]
    for link in links:
        file, _, anchor = link.partition("#")
        target = page.path.parent / file if file else page.path
        assert target.exists(), f"{page.path.name}: {link}"
        assert not anchor or anchor in Page(target).anchors(), f"{page.path.name}: {link}"


def environment(server: servers.Server) -> dict[str, str]:
    """What makes the examples use that server, with the installed commands on PATH."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    return servers.clean_environ() | server.environ() | {"PATH": path, "PYTHONUTF8": "1"}


SCRIPT = """
import contextlib
import io
import json
import sys


class Context:
    def get_remaining_time_in_millis(self):
        return 5000


order = json.load(sys.stdin)
namespace = {"__name__": "__main__"}
printed = []
for line, code in order["blocks"]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\\n" * (line - 1) + code, order["page"], "exec"), namespace)
    printed.append(out.getvalue())
print(json.dumps({"printed": printed, "result": eval(order["result"], globals() | namespace)}))
"""
