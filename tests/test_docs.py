"""The pages of docs/ against the installed wheel: their code is run, their errors are provoked, the reference is generated anew."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Generator
from pathlib import Path
from typing import Any

import glowplug
import pytest

import pages
import servers
import support
from pages import Page, names

DOCS = servers.REPO / "docs"
RUN = ("migration.md", "limits.md", "operations.md")  # testing.md is a set of suites: test_testing.py runs them


@pytest.fixture(scope="module")
def environment() -> Generator[dict[str, str], None, None]:
    servers.require("fakes3")
    with servers.fakes3(0, verify=True) as s:
        s.control(buckets=pages.BUCKETS)
        yield pages.environment(s)


def test_every_page_is_known() -> None:
    assert {p.name for p in DOCS.glob("*.md")} == {*RUN, "reference.md", "testing.md"}


@pytest.mark.parametrize("name", RUN)
def test_the_python_does_what_it_says(environment: dict[str, str], tmp_path: Path, name: str) -> None:
    page = Page(DOCS / name)
    assert any(b.language == "python" for b in page.blocks())
    page.run(environment, tmp_path)


def _commands() -> list[Any]:
    return [pytest.param(*c, id=c[0]) for name in RUN for c in Page(DOCS / name).commands()]


@pytest.mark.parametrize(("command", "shown"), _commands())
def test_the_commands_print_what_is_shown(environment: dict[str, str], tmp_path: Path, command: str, shown: str) -> None:
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=tmp_path, timeout=60)
    assert done.stdout == shown


def test_each_snippet_of_boto3_has_its_counterpart() -> None:
    page = Page(DOCS / "migration.md")
    for title in re.findall(r"^## (.+)$", page.text, re.M)[:-1]:  # "Tests" is a link
        code = [b.code for b in Page.blocks(page) if b.language == "python" and b.code in page.section(title)]
        assert any("boto3" in c for c in code), title
        assert any("glowplug" in c or re.search(r"\bs3\.", c) for c in code if "boto3" not in c or title.startswith("Sessions")), title


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_docstrings_say() -> None:
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == _generator().generate(), "run `python docs/generate.py`"


def test_the_reference_names_everything_public() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    for name in {*glowplug.__all__, *glowplug.errors.__all__} - {"__version__", "errors"}:
        assert re.search(rf"^#+ `(class )?{name}\b", text, re.M), name


# limits.md: the errors, word by word.

LIMITS = Page(DOCS / "limits.md")


def shown(title: str) -> list[str]:
    """The lines of a section's text blocks."""
    return [line for code in re.findall(r"^```text\n(.*?)^```$", LIMITS.section(title), re.M | re.S) for line in code.splitlines()]


def test_the_refusals_of_the_install_are_those_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("supported", servers.REPO / "manylinux/supported.py")
    assert spec and spec.loader
    supported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(supported)

    def refusal(where: object = None, name: str = "", value: object = None, **config: object) -> str:
        with monkeypatch.context() as m:
            m.setattr(sysconfig, "get_config_var", config.get)
            if where:
                m.setattr(where, name, value)
            return str(supported.reason())

    assert shown("Other Pythons") == [
        refusal(sys, "version_info", (3, 9)),
        refusal(sys, "implementation", type("pypy", (), {"name": "pypy"})),
        refusal(Py_GIL_DISABLED=1),
        refusal(os, "name", "nt"),
    ]
    assert shown("musl (Alpine)") == [refusal(SOABI="cpython-312-x86_64-linux-musl")]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before Python 3.12 all interpreters share one lock")
def test_a_sub_interpreter_gets_the_error_that_is_shown() -> None:
    script = """
try:
    import _interpreters as i
    create, run = (lambda: i.create("isolated")), i.exec
except ImportError:
    import _xxsubinterpreters as i
    create, run = i.create, i.run_string
failed = run(create(), '''
import glowplug
try:
    glowplug.S3(endpoint_url="http://127.0.0.1:1", access_key_id="a", secret_access_key="b", preconnect=False).list_buckets(timeout=1)
except glowplug.errors.GlowplugError as e:
    print(type(e).__name__, e, sep=": ")
''')
assert not failed, failed
"""
    assert support.run(script).splitlines() == shown("Sub-interpreters")


def test_a_child_that_gets_no_copy_gets_the_error_that_is_shown(environment: dict[str, str]) -> None:
    script = """
import os
import glowplug
from glowplug import _runtime

def refuse(source):
    raise OSError("...")

s3 = glowplug.S3(preconnect=False)
s3.list_buckets()
if os.fork() == 0:
    _runtime._copy_in_memory = _runtime._copy_on_disk = refuse
    try:
        s3.list_buckets()
    except glowplug.errors.ForkError as e:
        print(type(e).__name__, e, sep=": ", flush=True)
    os._exit(0)
os.wait()
"""
    done = support.run(script, env=environment)
    # Both ways of copying fail with the same reason here.
    assert done.replace("(...; ...)", "(...)").splitlines() == [line for line in shown("fork") if "ForkedAfterStart" in line]


# operations.md: its facts against the code.

OPERATIONS = Page(DOCS / "operations.md")


def test_the_user_agent_is_as_shown(environment: dict[str, str]) -> None:
    script = """
import http.server, threading
import glowplug

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.headers["User-Agent"])
        self.send_error(403)

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
try:
    glowplug.S3(endpoint_url=f"http://127.0.0.1:{server.server_address[1]}", max_attempts=1, preconnect=False).list_buckets()
except glowplug.errors.GlowplugError:
    pass
"""
    sent = support.run(script, env=environment | {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})

    def parts(text: str) -> list[str]:
        return [re.sub(r"[#/][\d.]+(\+\w+)?$", "", part) for part in text.split()]

    (code,) = [b.code for b in OPERATIONS.blocks() if b.language == "text" and "aws-sdk-go" in b.code]
    assert parts(sent) == parts(code.replace("amd64", "arm64" if "arm64" in sent else "amd64"))


def test_the_time_outs_are_those_of_the_options() -> None:
    told = {row[0]: row[2] for row in Page(servers.REPO / "README.md").rows("Options")}
    for _, option, built_in, _ in OPERATIONS.rows("Time-outs"):
        name = names(option)[0]
        assert built_in.split(" s")[0] == told[f"`{name}`"], name


def test_the_statistics_are_all_told() -> None:
    assert {names(row[0])[0] for row in OPERATIONS.rows("Statistics")} == {name for name in glowplug.Stats.__slots__ if name[0] != "_"}
