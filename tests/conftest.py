"""The fixtures of the façade's tests. They run on the installed wheel: the source tree may not be what is imported."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

import glowplug
import pytest

import servers
import support
from support import Client

def pytest_sessionstart() -> None:
    if Path(glowplug.__file__).is_relative_to(servers.REPO / "python"):
        pytest.exit(f"the tests are for an installed wheel, and glowplug is {glowplug.__file__}", returncode=4)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings of AWS and of proxies, with an empty home and made-up credentials."""
    for name in os.environ.keys() - servers.clean_environ().keys():
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": support.CANARY,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture(scope="session")
def running_fake() -> Iterator[servers.Server]:
    servers.require("fakes3")
    with servers.fakes3(0) as server:
        yield server


@pytest.fixture
def fake(running_fake: servers.Server, environment: pytest.MonkeyPatch) -> Iterator[servers.Server]:
    """The fake S3 with ten buckets and no faults, as ``AWS_ENDPOINT_URL_S3``."""
    running_fake.control(clear=True, reset_stats=True, n=10, quirks="", keys=[], region="", delay=0)
    environment.setenv("AWS_ENDPOINT_URL_S3", running_fake.url)
    yield running_fake
    running_fake.control(clear=True)


@pytest.fixture
def client(environment: pytest.MonkeyPatch) -> Generator[Client, None, None]:
    """Makes clients that connect with their first call, and closes them."""
    with contextlib.ExitStack() as stack:

        def make(**options: object) -> glowplug.S3:
            return stack.enter_context(glowplug.S3(**{"preconnect": False, **options}))  # pyright: ignore[reportArgumentType]

        yield make


@pytest.fixture
def s3(fake: servers.Server, client: Client) -> glowplug.S3:
    """A client of the fake."""
    return client()


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
