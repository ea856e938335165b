"""glowplug's pytest plugin. It is active wherever glowplug and pytest are installed; ``-p no:glowplug`` turns it off.

Fixtures:
    glowplug_s3: a :class:`glowplug.testing.FakeS3` as it was made, with 100 buckets, that
        the environment points to until the test has ended. The server is the session's, so
        that its address is the same in every test and a client that a module keeps stays
        usable. ``@pytest.mark.glowplug_s3(buckets=..., tells_regions=...)`` on a test, a
        class or a module gives the options of :class:`glowplug.testing.FakeS3`.
    glowplug_s3_session: the server itself, for fixtures of a wider scope, with the
        environment pointing to it until the session has ended.

Settings, in pytest's configuration file or as an environment variable of the same name in
capitals, which comes first:
    glowplug_autouse: true: every test uses ``glowplug_s3``, and the environment points to it
        before conftest.py and test modules are imported, so that clients made on import find it.
        Default false.
    glowplug_offline: true sets ``GLOWPLUG_OFFLINE=1`` for the session: a client made from then
        on refuses every address but loopback, also for credentials and proxies, with
        :class:`glowplug.errors.ConnectionError`, code ``"Offline"``. Default true: a suite that
        means to reach AWS says false.

Under pytest-xdist each worker has a server of its own.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from . import FakeS3

MARKER = "glowplug_s3(**options): options of glowplug.testing.FakeS3 for the fixture glowplug_s3"


class _Session:
    """The server of a session: started when first wanted, and there until the session has ended."""

    def __init__(self) -> None:
        self.server: FakeS3 | None = None
        self.pointed: AbstractContextManager[FakeS3] | None = None

    def get(self) -> FakeS3:
        if self.server is None:
            from . import FakeS3

            self.server = FakeS3().start()
        return self.server

    def point(self) -> None:
        """Let the environment point to the server until the session has ended."""
        self.pointed = self.get().patch_environ()
        self.pointed.__enter__()

    def close(self) -> None:
        if self.pointed is not None:
            self.pointed.__exit__(None, None, None)
        if self.server is not None:
            self.server.close()


_SESSION = pytest.StashKey[_Session]()


def _online() -> None:
    os.environ.pop("GLOWPLUG_OFFLINE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings."""
    parser.addini("glowplug_autouse", "every test uses glowplug_s3, and imports find it", type="bool", default=False)
    parser.addini("glowplug_offline", "glowplug's clients refuse every address but loopback", type="bool", default=True)


def _setting(config: pytest.Config, name: str) -> bool:
    value = os.environ.get(name.upper(), "").strip().lower()
    if value not in ("", "0", "1", "false", "true"):
        raise pytest.UsageError(f"{name.upper()} must be 1, 0, true or false")
    return value in ("1", "true") if value else bool(config.getini(name))


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set the environment ahead of every import: a handler's module makes its client when it is imported."""
    session = _Session()
    early_config.stash[_SESSION] = session
    early_config.add_cleanup(session.close)
    if _setting(early_config, "glowplug_offline") and not os.environ.get("GLOWPLUG_OFFLINE"):
        os.environ["GLOWPLUG_OFFLINE"] = "1"
        early_config.add_cleanup(_online)
    if _setting(early_config, "glowplug_autouse"):
        session.point()
        early_config.pluginmanager.register(_Autouse(), "glowplug_autouse")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


class _Autouse:
    """The plugin that ``glowplug_autouse`` adds."""

    @pytest.fixture(autouse=True)
    def _glowplug_autouse(self, glowplug_s3: FakeS3) -> None:
        """Give each test the server as it was made."""


@pytest.fixture(scope="session")
def glowplug_s3_session(pytestconfig: pytest.Config) -> Generator[FakeS3, None, None]:
    """The session's :class:`glowplug.testing.FakeS3`, which the environment points to until the session has ended."""
    with pytestconfig.stash[_SESSION].get().patch_environ() as server:
        yield server


@pytest.fixture
def glowplug_s3(request: pytest.FixtureRequest) -> Generator[FakeS3, None, None]:
    """A :class:`glowplug.testing.FakeS3` as it was made, which the environment points to until the test has ended."""
    server = request.config.stash[_SESSION].get()
    options: dict[str, object] = {}
    for mark in request.node.iter_markers("glowplug_s3"):
        options = {**mark.kwargs, **options}  # the closest comes first
        if mark.args:
            raise pytest.UsageError("@pytest.mark.glowplug_s3 takes keywords only, such as buckets=3")
    server.reset(**options)  # type: ignore[arg-type]
    with server.patch_environ():
        yield server
    server.reset()
