"""What the façade's tests share: a look into the Go side, child interpreters, and waiting for something to become true."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from glowplug import S3, _native

# A secret that may appear nowhere but in a signature.
CANARY = "canary-3rTq9/vQwK+secret"
TOKEN = "canary-session-token-7xYz"

# What the fixture `client` is: it takes the options of S3.
Client = Callable[..., S3]

SPAWN = 60.0  # seconds that a child interpreter may take


class Info(NamedTuple):
    """What the Go side tells of itself."""

    version: str
    go: str
    clients: int
    calls: int
    goroutines: int


def info() -> Info:
    version, go, *counts = _native.pybind_Info("").split("\x1f")
    return Info(version, go, *map(int, counts))


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Poll until the condition holds; fail with ``what`` did not happen."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"{what}: not within {seconds:g} s"
        time.sleep(0.002)


class Stopwatch:
    """Seconds of a ``with`` block, also of one that raises."""

    seconds = -1.0

    def __enter__(self) -> Stopwatch:
        self._start = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._start


def environ(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of the test without what steers Python, and with ``more``."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LC_", "LANG"))} | dict(more)


def command(script: str, *, site: str | Path | None = None) -> list[str]:
    """A child interpreter for ``script`` that sees the installed packages, with those of ``site`` before them."""
    if site is not None:
        script = f"import sys; sys.path.insert(0, {str(site)!r})\n{script}"
    return [sys.executable, "-I", "-W", "ignore::DeprecationWarning", "-c", script]


def run(script: str, *, env: Mapping[str, str] | None = None, site: str | Path | None = None) -> str:
    """Run ``script`` in a child; return its output once it has ended well and silently."""
    done = subprocess.run(command(script, site=site), env=environ(env or {}), capture_output=True, text=True, timeout=SPAWN)
    assert (done.returncode, done.stderr) == (0, ""), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
