"""README.md against the installed wheel: its code is run and its output compared; its tables are held against the code.

The blocks are those of tests/pages.py; a `json` block is what the handler returns. The account is a simulated
one with four buckets.
"""

from __future__ import annotations

import builtins
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import glowplug
import pytest
from glowplug import errors

import pages
import servers
from pages import Page, names

README = Page(servers.REPO / "README.md")
DEMO = servers.REPO / "examples/demo/demo.py"


@pytest.fixture(scope="module")
def fake() -> Generator[servers.Server, None, None]:
    servers.require("fakes3")
    with servers.fakes3(0, verify=True) as s:
        s.control(buckets=pages.BUCKETS)
        yield s


@pytest.fixture(scope="module")
def environment(fake: servers.Server) -> dict[str, str]:
    return pages.environment(fake)


def test_the_python_does_what_it_says(environment: dict[str, str], tmp_path: Path) -> None:
    assert len([b for b in README.blocks() if b.language == "python"]) >= 5
    returned = README.run(environment, tmp_path, result="handler({}, Context())")
    (shown,) = [b for b in README.blocks() if b.language == "json"]
    assert returned == json.loads(shown.code)


@pytest.mark.parametrize(("command", "shown"), [c for c in README.commands() if c[0].startswith("glowplug ")], ids=lambda c: c if c.startswith("glowplug") else "")
def test_the_command_line_does_what_it_says(environment: dict[str, str], tmp_path: Path, command: str, shown: str) -> None:
    run = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=tmp_path, timeout=60)
    assert run.stdout == shown
    assert run.returncode == (2 if shown.startswith("glowplug: ") else 0)


def test_the_exit_codes_are_those_of_the_command() -> None:
    run = subprocess.run([sys.executable, "-m", "glowplug", "--help"], capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^ +(\d+): (.+)\.$", run.stdout.replace("`", ""), re.M))
    assert {code: meaning.replace("`", "") for code, meaning in README.rows("Command line")} == listed


def test_each_target_that_is_named_exists() -> None:
    makefile = (servers.REPO / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z-]+)\b`", README.text)) | {command.split()[1] for command, _ in README.commands() if command.startswith("make ")}:
        assert re.search(rf"^{target}:.* ## ", makefile, re.M), target


@pytest.mark.parametrize("page", [README.path, servers.REPO / "examples/list_buckets/README.md", *sorted((servers.REPO / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    pages.check_links(Page(page))


def test_the_options_are_those_of_the_client() -> None:
    documented = {name: row[2] for row in README.rows("Options") for name in names(row[0])}
    parameters = {name: p.default for name, p in inspect.signature(glowplug.S3.__init__).parameters.items() if name != "self"}
    assert list(documented) == list(parameters)
    assert documented["cache_ttl"] == f"{parameters['cache_ttl']:g}"
    assert documented["preconnect"] == f'`"{parameters["preconnect"]}"`'


METHODS = {
    "`s3.list_buckets(*, prefix, region, limit, timeout, context, reserve, on_error)`": glowplug.S3.list_buckets,
    "`s3.bucket_region(name, *, timeout, context, reserve)`": glowplug.S3.bucket_region,
    "`s3.bucket_regions(names, *, timeout, context, reserve, on_error)`": glowplug.S3.bucket_regions,
    "`s3.wait_ready(timeout=None)`": glowplug.S3.wait_ready,
    "`s3.close()`": glowplug.S3.close,
}


@pytest.mark.parametrize("heading", METHODS)
def test_each_function_is_shown_as_it_is(heading: str) -> None:
    shown = re.sub(r"=\w+", "", heading[heading.index("(") + 1 : -2])
    assert [name for name in shown.split(", ") if name not in ("*", "")] == list(inspect.signature(METHODS[heading]).parameters)[1:]
    assert {"GlowplugError", *re.findall(r"`(\w+Error)`", README.section(heading))} <= set(errors.__all__)


def test_the_arguments_of_a_listing_have_their_defaults() -> None:
    parameters = inspect.signature(glowplug.S3.list_buckets).parameters
    title = next(iter(METHODS))
    documented = {names(row[0])[0]: row[2] for row in README.rows(title)}
    assert list(documented) == list(parameters)[1:] == list(inspect.signature(glowplug.S3.iter_buckets).parameters)[1:]
    assert documented["reserve"] == str(parameters["reserve"].default)
    assert documented["on_error"] == f'`"{parameters["on_error"].default}"`'


def test_the_errors_are_those_of_the_package() -> None:
    documented = {names(row[0])[0]: row for row in README.rows("Errors")}
    assert sorted(documented) == sorted(errors.__all__)
    for name, row in documented.items():
        leaf: type[errors.GlowplugError] = getattr(errors, name)
        assert names(row[2]) == [leaf.kind]
        own = [base.__name__ for base in leaf.__mro__[1:] if base.__module__ == builtins.__name__ and base not in errors.GlowplugError.__mro__]
        assert set(names(row[1])) <= set(own) | {"Exception"}, name
        assert not own or names(row[1]), f"{name} is a {own[0]} too"


def test_each_variable_that_is_named_is_read() -> None:
    sources = "".join(p.read_text(encoding="utf-8") for p in (servers.REPO / "gomod").rglob("*.go") if not p.name.endswith("_test.go"))
    named = {name for name in names(README.section("Environment variables").replace("=true", "")) if re.fullmatch("[A-Z0-9_]{5,}", name)}
    assert len(named) > 20
    for name in named:
        # AWS_ENDPOINT_URL_S3 is made of its parts.
        assert f'"{name}"' in sources or f'"{name.removesuffix("S3")}"' in sources, name


def test_the_demo_runs_and_stays_short(tmp_path: Path) -> None:
    """Its numbers are not checked: a busy machine has others. The listings are compared by itself."""
    servers.require("fakes3")
    run = subprocess.run(
        [sys.executable, str(DEMO), "--runs", "1", "--buckets", "8"], capture_output=True, text=True, cwd=tmp_path, timeout=120, env=os.environ | {"GLOWPLUG_FAKES3": servers.find_fakes3()}
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "8 buckets in 7 regions" in run.stdout
    assert "All listings were equal" in run.stdout
    assert len(run.stdout.splitlines()) < 45
    assert max(map(len, run.stdout.splitlines())) < 130


def test_the_changelog_has_typed_lines_and_the_present_version() -> None:
    lines = (servers.REPO / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith(f"## {glowplug.__version__.partition('+')[0]} ") for line in lines)
    for line in lines:
        assert not line or line.startswith("#") or re.match(r"- \[(FEATURE|CHANGE|FIX|PERF)\] [a-z ]+: .+\.$", line), line
