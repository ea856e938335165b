"""The example's handler in Lambda's own Python runtime, with the wheel as its only dependency.

Each test runs twice: under AWS's runtime emulator, which is skipped loudly where it is missing, and
under the stand-in of ``runtime_api``, which is always there.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import time
import venv
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

import runtime_api
import servers

# PyYAML is moto's and has no types.
yaml: Any = importlib.import_module("yaml")

EXAMPLE = servers.REPO / "examples/list_buckets"
RUNTIME = ("awslambdaric", "simplejson", "snapshot-restore-py")  # what Lambda has; its boto3 is left out on purpose
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

BUCKETS = [
    {"name": "acme-invoices", "region": "eu-central-1", "created": "2023-05-04T09:10:11Z"},
    {"name": "acme-logs", "region": "us-east-1", "created": "2019-12-31T23:59:59Z"},
    {"name": "acme-web", "region": "ap-southeast-2", "created": "2025-01-02T03:04:05Z"},
]
ANSWER = [{"name": b["name"], "region": b["region"], "created": b["created"].replace("Z", "+00:00")} for b in BUCKETS]

PROBE = """
import importlib.metadata
import os
import sys

import app

try:
    import boto3
except ImportError as e:
    refused = str(e)


def handler(event, context):
    return {
        "pid": os.getpid(),
        "answer": app.handler(event, context),
        "boto3": refused,
        "aws": sorted(m for m in sys.modules if m.startswith(("boto", "urllib3", "s3transfer"))),
        "installed": sorted(d.name for d in importlib.metadata.distributions()),
    }
"""

REQUEST_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Emulate = Callable[..., contextlib.AbstractContextManager[servers.Server]]


def post(function: servers.Server) -> tuple[int, str]:
    """An invocation that may fail as a whole."""
    with contextlib.closing(http.client.HTTPConnection(*function.address, timeout=30)) as conn:
        conn.request("POST", runtime_api.INVOKE, "{}")
        answer = conn.getresponse()
        return answer.status, answer.read().decode()


def install(distribution: str, target: Path) -> None:
    """Copy what pip installed here: no network, and the very files of the wheel."""
    installed = importlib.metadata.distribution(distribution)
    for file in installed.files or ():
        source = Path(str(installed.locate_file(file)))
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / file)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with Lambda's runtime client and nothing else."""
    root = tmp_path_factory.mktemp("runtime")
    venv.create(root, with_pip=False, symlinks=True)
    executable = str(root / "bin/python")
    site = subprocess.run([executable, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"], capture_output=True, text=True, check=True).stdout.strip()
    for distribution in RUNTIME:
        install(distribution, Path(site))
    return executable


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sam build` makes of the example: its files, and those of its one requirement beside them."""
    root = tmp_path_factory.mktemp("task")
    shutil.copy2(EXAMPLE / "app.py", root)
    (requirement,) = (EXAMPLE / "requirements.txt").read_text().split()
    install(requirement, root)
    (root / "probe.py").write_text(PROBE)
    (root / "broken.py").write_text("import glowplug\ns3 = glowplug.S3(timeout=-1)\n")
    return root


@pytest.fixture(params=["AWS's emulator", "stand-in"])
def emulate(request: pytest.FixtureRequest) -> Emulate:
    if request.param == "stand-in":
        return runtime_api.emulated
    servers.require("rie")
    return servers.lambda_rie


@pytest.fixture
def fake() -> Generator[servers.Server, None, None]:
    servers.require("fakes3")
    with servers.fakes3(0, verify=True) as s:
        s.control(buckets=BUCKETS)
        yield s


@pytest.fixture
def start(emulate: Emulate, python: str, task: Path, fake: servers.Server) -> Callable[..., contextlib.AbstractContextManager[servers.Server]]:
    def start(handler: str = "app.handler", **settings: str) -> contextlib.AbstractContextManager[servers.Server]:
        return emulate([python, "-m", "awslambdaric", handler], env=fake.environ() | settings, cwd=str(task))

    return start


def test_cold_and_warm_invocations_answer_the_buckets_over_one_connection(start: Emulate, fake: servers.Server) -> None:
    before = fake.stats()
    with start() as function:
        assert servers.invoke(function) == ANSWER
        assert servers.invoke(function, {"warm": True}) == ANSWER
        assert servers.invoke(function, {"warm": "again"}) == ANSWER
        after = fake.stats()
    # The second reading of the counters is a connection of its own.
    assert after["conns"] - before["conns"] - 1 == 1, "INIT, the first and the warm invocations share one connection"
    assert (after["reqs"], after["lists"]) == (3, 3)


def test_the_connection_is_open_when_init_ends(python: str, task: Path, fake: servers.Server) -> None:
    before = fake.stats()
    with runtime_api.emulated([python, "-m", "awslambdaric", "app.handler"], env=fake.environ(), cwd=str(task)) as function:
        runtime_api.wait_for_init(function)
        ready = fake.stats()
        assert (ready["conns"] - before["conns"] - 1, ready["reqs"]) == (1, 0), "connected, and nothing asked"
        assert servers.invoke(function) == ANSWER
        assert fake.stats()["conns"] - ready["conns"] - 1 == 0


def test_regions_that_the_listing_does_not_tell_are_looked_up(start: Emulate, fake: servers.Server) -> None:
    fake.control(quirks="never-tell")
    with start() as function:
        assert servers.invoke(function) == ANSWER
        assert servers.invoke(function) == ANSWER
    stats = fake.stats()
    assert (stats["lists"], stats["heads"], stats["locations"]) == (2, len(BUCKETS), 0), "the second invocation remembers the regions"


def test_the_wheel_is_all_there_is(start: Emulate) -> None:
    with start("probe.handler") as function:
        cold, warm = servers.invoke(function), servers.invoke(function)
    assert cold["pid"] == warm["pid"], "the second invocation is warm"
    assert cold["answer"] == warm["answer"] == ANSWER
    assert cold["boto3"] == "No module named 'boto3'"
    assert cold["aws"] == []
    assert cold["installed"] == sorted([*RUNTIME, "glowplug"])


def test_an_error_of_the_handler_is_lambdas_with_our_class(start: Emulate, fake: servers.Server) -> None:
    with start() as function:
        fake.control(faults=[{"kind": "deny"}])
        error = servers.invoke(function)
        assert error["errorType"] == "AccessDeniedError"
        assert "s3:ListAllMyBuckets" in error["errorMessage"]
        assert SECRET not in str(error)
        fake.control(clear=True)
        assert servers.invoke(function) == ANSWER, "the same client works afterwards"


def test_an_error_in_init_is_lambdas_with_our_class(start: Emulate) -> None:
    with start("broken.handler") as function:
        status, body = post(function)
    error = json.loads(body)
    assert (status, error["errorType"]) == (502, "InvalidArgumentError")
    assert "timeout=-1" in error["errorMessage"]


def test_no_credentials_fail_the_invocation_and_not_init(emulate: Emulate, python: str, task: Path, fake: servers.Server) -> None:
    settings = fake.environ() | {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"}
    with emulate([python, "-m", "awslambdaric", "app.handler"], env=settings, cwd=str(task)) as function:
        error = servers.invoke(function)
    assert error["errorType"] == "CredentialsError"
    assert error["errorMessage"].startswith("ListBuckets: InvalidAccessKeyId (HTTP 403)")


def test_the_deadline_of_the_context_holds(start: Emulate, fake: servers.Server) -> None:
    with start(AWS_LAMBDA_FUNCTION_TIMEOUT="2") as function:
        assert servers.invoke(function) == ANSWER
        fake.control(delay=5)
        began = time.monotonic()
        error = servers.invoke(function)
        took = time.monotonic() - began
        assert error["errorType"] == "TimeoutError", "ours and not Lambda's, which would end the process"
        assert 1.4 < took < 2, "2 s less the reserve of 0.25"
        fake.control(delay=0)
        assert servers.invoke(function) == ANSWER


ENDED = "import os, time\ndef slow(event, context): time.sleep(5)\ndef gone(event, context): os._exit(3)\ndef raises(event, context): raise KeyError('k')\n"


@pytest.mark.parametrize("handler", ["f.slow", "f.gone", "f.missing", "f.raises"])
def test_the_stand_in_answers_failures_as_awss_emulator(python: str, tmp_path: Path, handler: str) -> None:
    servers.require("rie")
    (tmp_path / "f.py").write_text(ENDED)
    said: list[tuple[int, str]] = []
    for emulate in (servers.lambda_rie, runtime_api.emulated):
        with emulate([python, "-m", "awslambdaric", handler], env={"AWS_LAMBDA_FUNCTION_TIMEOUT": "1"}, cwd=str(tmp_path)) as function:
            status, body = post(function)
            said.append((status, json.dumps(json.loads(REQUEST_ID.sub("ID", body))) if body.startswith("{") else body))
    assert said[0] == said[1]


class Template(yaml.SafeLoader):
    """Reads CloudFormation: !Ref X becomes X."""


def _plain(loader: Any, suffix: str, node: Any) -> Any:
    return loader.construct_scalar(node)


Template.add_multi_constructor("!", _plain)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((EXAMPLE / "template.yaml").read_text(), Template)
    return found


def test_the_template_runs_what_is_tested_here(template: dict[str, Any]) -> None:
    properties = template["Resources"]["ListBuckets"]["Properties"]
    assert properties["Handler"] == "app.handler"
    assert (properties["CodeUri"], properties["Runtime"], properties["MemorySize"]) == (".", "python3.13", 128)
    assert properties["Architectures"] == ["Architecture"]
    assert template["Parameters"]["Architecture"]["AllowedValues"] == ["x86_64", "arm64"]


def test_the_template_allows_what_is_needed_and_no_more(template: dict[str, Any]) -> None:
    (policy,) = template["Resources"]["ListBuckets"]["Properties"]["Policies"]
    assert [(s["Effect"], s["Action"], s["Resource"]) for s in policy["Statement"]] == [
        ("Allow", "s3:ListAllMyBuckets", "*"),
        ("Allow", "s3:ListBucket", "arn:aws:s3:::*"),
        ("Allow", "s3:GetBucketLocation", "arn:aws:s3:::*"),
    ]


def test_the_template_is_valid() -> None:
    """cfn-lint is moto's; it knows CloudFormation's and SAM's schemas."""
    lint: Any = importlib.import_module("cfnlint.api").lint_file
    assert [str(match) for match in lint(EXAMPLE / "template.yaml")] == []
