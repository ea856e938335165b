"""What an import costs: modules and CPU, beside the bare interpreter. A Lambda pays for both on each cold start."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import glowplug
import pytest

import servers
from support import environ, run

OWN = {"glowplug", "glowplug.errors", "glowplug._s3", "glowplug._runtime", "glowplug._version"}
BUILTIN = {"itertools", "_thread", "time", "__future__", "builtins"}

# CPU over the bare interpreter; the promise is a third of what fails, so that a busy machine does not.
PROMISED_MS = {"with .pyc": 2.0, "without .pyc": 8.0}
MARGIN = 3
ROUNDS = 15


def modules(script: str) -> set[str]:
    return set(json.loads(run(f"{script}\nimport sys; loaded = sorted(sys.modules)\nimport json; print(json.dumps(loaded))")))


def test_the_import_loads_nothing_but_itself() -> None:
    bare = modules("pass")
    assert bare < modules("import json"), "the check sees modules"
    assert modules("import glowplug") - bare <= OWN | BUILTIN
    assert OWN <= modules("import glowplug")


def test_a_client_loads_nothing_before_it_is_used() -> None:
    assert modules("import glowplug; glowplug.S3(preconnect=False)") - modules("pass") <= OWN | BUILTIN


def test_the_good_path_loads_only_the_library_itself(fake: servers.Server) -> None:
    script = """
import glowplug
class Context:
    def get_remaining_time_in_millis(self): return 30_000
s3 = glowplug.S3()
assert len(s3.list_buckets(context=Context()).to_dicts()) == 10
assert s3.list_buckets(limit=1)[0].region == "us-east-1"
assert len(list(s3.iter_buckets())) == 10 and s3.bucket_region("bucket-00001") == "us-west-2"
"""
    assert modules(script) - modules("pass") <= OWN | BUILTIN | {"glowplug._native", "atexit"}


MEASURE = """
import sys, time
sys.path.insert(0, sys.argv[1])
start = time.process_time_ns()
import glowplug
print((time.process_time_ns() - start) / 1e6)
assert glowplug.__file__.startswith(sys.argv[1])
"""


@pytest.mark.parametrize("how", PROMISED_MS)
def test_the_import_costs_little_cpu(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A copy without the caches that pip made; the first import writes them where they are wanted.
    shutil.copytree(Path(glowplug.__file__).parent, tmp_path / "glowplug", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    command = [sys.executable, "-I", *(["-B"] if how == "without .pyc" else []), "-c", MEASURE, str(tmp_path)]

    def measure() -> float:
        # A process of its own each time: the first compilation in one costs more than those that follow.
        return float(subprocess.run(command, env=environ({}), check=True, capture_output=True, text=True).stdout)

    measure()
    assert (tmp_path / "glowplug/__pycache__").exists() == (how == "with .pyc")
    taken = [measure() for _ in range(ROUNDS)]
    with capsys.disabled():
        print(f"\nimport glowplug {how}: median {statistics.median(taken):.2f} ms of CPU, {min(taken):.2f} to {max(taken):.2f}; promised: {PROMISED_MS[how]:g}")
    assert statistics.median(taken) < MARGIN * PROMISED_MS[how]
