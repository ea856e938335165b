"""The boundary between Python and Go: signals, forks, the interpreter's end, ids, panics.

Each rule of it once cost somebody a crash or a hang; so most of these run in a child interpreter.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import glowplug
import pytest
from glowplug import _native

import servers
from support import CANARY, SPAWN, Client, Stopwatch, command, environ, info, run, wait_until

# Ctrl-C


@contextmanager
def child(script: str) -> Generator[subprocess.Popen[str], None, None]:
    """A child interpreter to talk with, line by line."""
    process = subprocess.Popen(command(script), env=environ({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
        out, err = process.communicate(timeout=SPAWN)
        assert (process.returncode, err) == (0, ""), f"exit {process.returncode}\n{out}\n{err}"
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe
            pipe.close()


BLOCKED_CALLS = {
    "list": "s3.list_buckets(timeout=60)",
    "stream": "[b for b in s3.iter_buckets(timeout=60)]",
    "region": "s3.bucket_region('bucket-00001', timeout=60)",
    "ready": "glowplug.S3(endpoint_url=SILENT, preconnect=False).wait_ready(60)",
}


@pytest.mark.parametrize("what", BLOCKED_CALLS)
def test_ctrl_c_ends_a_call_within_100_ms(fake: servers.Server, silent: str, what: str) -> None:
    fake.control(n=2500)
    script = f"""
import sys, time, glowplug
SILENT = {silent.replace("http:", "https:")!r}
s3 = glowplug.S3(attempt_timeout=60, connect_timeout=60)
s3.wait_ready()
for _ in range(5):
    sys.stdin.readline()
    try:
        {BLOCKED_CALLS[what]}
        print("no KeyboardInterrupt")
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
from glowplug import _native
print(_native.pybind_Info("").split("\\x1f")[3], flush=True)
sys.stdin.readline()
print(len(s3.list_buckets()), flush=True)
"""
    late: list[float] = []
    with child(script) as process:
        assert process.stdout

        def go_on() -> None:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()

        for _ in range(5):
            fake.control(clear=True, reset_stats=True, faults=[{"kind": "black-hole", "op": "list", "after": 1 if what == "stream" else 0}, {"kind": "black-hole", "op": "head"}])
            go_on()
            if what == "ready":
                time.sleep(0.1)  # nothing tells when a connection is waited for
            else:
                wait_until(lambda: fake.stats()["faulted"] >= 1, "the call is blocked")
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            # Monotonic clocks of processes are the same.
            late.append(float(process.stdout.readline()) - sent)
        assert process.stdout.readline() == "0\n", "no call is left"
        fake.control(clear=True)
        go_on()
        assert process.stdout.readline() == "2500\n", "the client is usable"
    # One round of five may meet a machine that is busy.
    assert statistics.median(late) < 0.1, late


def test_an_exception_of_a_signal_handler_ends_the_call(fake: servers.Server, s3: glowplug.S3) -> None:
    class Enough(Exception):
        pass

    def handler(*_: object) -> None:
        raise Enough

    fake.control(faults=[{"kind": "black-hole"}])
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with Stopwatch() as watch, pytest.raises(Enough):
            s3.list_buckets()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert watch.seconds < 0.3 and info().calls == 0


# Forks

FORK = """
import atexit, gc, os, sys, time, glowplug
from glowplug import errors

def in_child(work, within=1.0):
    "Run work in a forked child; print what it prints, and how the child ended unless that was well."
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except errors.ForkError as e:
            print("ForkError", flush=True)
        sys.exit(0)
    give_up = time.monotonic() + within
    while time.monotonic() < give_up:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            if status:
                print("status", status)
            return
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    print("HUNG")
"""


@pytest.mark.parametrize(
    "work",
    [
        "None",
        "s3.close()",
        "(s3.close(), s3.close())",
        "s3.__exit__(None, None, None)",
        "s3.__del__()",
        "stream.close()",
        "(globals().pop('s3'), globals().pop('stream'), gc.collect())",
        "glowplug.S3()",
        "glowplug.S3().close()",
        "os.environ.update(AWS_LAMBDA_FUNCTION_NAME='f') or glowplug.S3()",
        "glowplug.S3(preconnect=True)",
        "atexit.register(s3.close)",
    ],
)
def test_what_is_no_call_does_nothing_in_a_forked_child(fake: servers.Server, work: str) -> None:
    out = run(f"{FORK}s3 = glowplug.S3(); stream = s3.iter_buckets(); next(stream)\nin_child(lambda: {work})\nprint(len(s3.list_buckets()), len(list(stream)))")
    assert out == "10 9\n"


def test_an_import_alone_survives_a_fork(fake: servers.Server) -> None:
    assert run(f"{FORK}\nfor _ in range(3): in_child(lambda: print(len(glowplug.S3().list_buckets())))\nprint(len(glowplug.S3().list_buckets()))") == "10\n" * 4


def test_a_client_that_was_not_used_before_the_fork_works_in_the_child(fake: servers.Server) -> None:
    out = run(f"{FORK}s3 = glowplug.S3(preconnect=False)\nfor _ in range(3): in_child(lambda: print(len(s3.list_buckets())))\nprint(len(s3.list_buckets()))")
    assert out == "10\n" * 4


def test_a_fork_during_the_background_load_never_hangs(fake: servers.Server) -> None:
    # The load takes milliseconds: forks at many moments of it, each in an interpreter of its own.
    for delay in range(8):
        out = run(f"{FORK}s3 = glowplug.S3()\ntime.sleep({delay} / 1000)\nin_child(lambda: print(len(s3.list_buckets())))\nprint(len(s3.list_buckets()))")
        assert out == "10\n10\n", f"after {delay} ms: {out}"


# The interpreter's end


@pytest.mark.parametrize(
    "script",
    [
        "glowplug.S3()",
        "s3 = glowplug.S3()",
        "s3 = glowplug.S3(); s3.list_buckets()",
        "stream = glowplug.S3().iter_buckets(); next(stream)",
        "import atexit; s3 = glowplug.S3(); s3.list_buckets(); atexit.register(s3.close)",
        "import atexit; atexit.register(lambda: glowplug.S3())",
    ],
)
def test_an_interpreter_ends_quietly(fake: servers.Server, script: str) -> None:
    for _ in range(3):
        assert run(f"import glowplug; {script}") == ""


def test_an_interpreter_ends_while_daemon_threads_call(fake: servers.Server) -> None:
    fake.control(faults=[{"kind": "black-hole", "every": 2}])
    script = """
import threading, time, glowplug
s3 = glowplug.S3(timeout=30, attempt_timeout=30)
def load():
    while True:
        try: s3.list_buckets()
        except glowplug.errors.CancelledError: return
for _ in range(8): threading.Thread(target=load, daemon=True).start()
time.sleep(0.05)
"""
    for _ in range(3):
        with Stopwatch() as watch:
            assert run(script) == ""
        assert watch.seconds < 5


def test_a_call_after_the_end_began_is_cancelled(fake: servers.Server) -> None:
    script = """
import atexit, glowplug
def late():
    try: s3.list_buckets()
    except glowplug.errors.CancelledError as e: print(e.code)
atexit.register(late)
s3 = glowplug.S3(preconnect=False)
s3.list_buckets()
"""
    assert run(script) == "Shutdown\n"


# Ids and requests that the façade would never send


def opened(url: str) -> str:
    return _native.pybind_Open(f"\x1fendpoint_url={url}\x1f$AWS_ACCESS_KEY_ID=A\x1f$AWS_SECRET_ACCESS_KEY=B")


def test_ids_of_other_clients_and_calls_are_errors_and_no_crash(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[{"kind": "black-hole"}])
    first, second = opened(fake.url), opened(fake.url)
    assert first != second
    call = "900000001"
    assert _native.pybind_Start(f"{first}\x1f{call}\x1f1\x1flist") == "P"
    refused: dict[str, Callable[[], str]] = {
        "the call's id again, for another client": lambda: _native.pybind_Start(f"{second}\x1f{call}\x1f1\x1flist"),
        "a client's id as a call's": lambda: _native.pybind_Wait(f"{first}\x1f1"),
        "a call's id as a client's": lambda: _native.pybind_Start(f"{call}\x1f900000002\x1f1\x1flist"),
        "an id that never was": lambda: _native.pybind_Wait("987654321\x1f1"),
        "an id below zero": lambda: _native.pybind_Wait("-1\x1f1"),
        "an id that is no number": lambda: _native.pybind_Close("0x7fff0000"),
        "an id beyond 64 bits": lambda: _native.pybind_Cancel("9" * 40),
        "no id": lambda: _native.pybind_Start(""),
    }
    for sentence, ask in refused.items():
        with pytest.raises(RuntimeError, match='^{"kind":"invalid"'):
            ask()
            pytest.fail(sentence)
    _native.pybind_Close(second)
    assert _native.pybind_Wait(f"{call}\x1f1") == "P", "the other client's call goes on"
    _native.pybind_Cancel(call)
    _native.pybind_Close(first)
    with pytest.raises(RuntimeError, match="ClientClosed"):
        _native.pybind_Start(f"{first}\x1f900000003\x1f1\x1flist")
    fake.control(clear=True)
    assert len(s3.list_buckets()) == 10


def test_the_native_functions_take_strings_only() -> None:
    for function in (_native.pybind_Open, _native.pybind_Close, _native.pybind_Start, _native.pybind_Wait, _native.pybind_Cancel, _native.pybind_Info):
        for wrong in (None, 1, b"1", ["1"]):
            with pytest.raises(TypeError):
                function(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError):
            function()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_versions_agree() -> None:
    assert info().version == glowplug.__version__ and info().go.startswith("go1.")


# Panics, in the second wheel whose Go side panics on request


@pytest.fixture(scope="session")
def faults_site() -> Path:
    """Where the second wheel is unpacked: `make wheel-faults` puts it there."""
    site = Path(os.environ.get("GLOWPLUG_FAULTS_SITE") or servers.REPO / "build/faults/site")
    if not (site / "glowplug").is_dir():
        message = f"the wheel with fault hooks is not at {site}: `make wheel-faults`"
        if os.environ.get("GLOWPLUG_REQUIRE") == "all":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return site


PANICS = """
import sys
from glowplug import S3, _native, errors
assert "+" in __import__("importlib.metadata").metadata.version("glowplug"), "the second wheel is in use"
def faulty(where):
    s3 = S3(preconnect=False)
    s3._options += "\\x1ffault=" + where
    return s3
def failing(call):
    try:
        print(call(), "and no error")
    except errors.InternalError as e:
        assert isinstance(e, RuntimeError) and "please report" in str(e), e
        assert "faults.go" in str(e) and "goroutine" in str(e), e
        assert "canary" not in str(e) + repr(e), e
        print("InternalError")
bystander = S3()
"""


@pytest.mark.parametrize("where", ["open", "credentials", "list", "lookup"])
def test_a_panic_is_an_internal_error_with_its_stack_and_harms_nobody_else(fake: servers.Server, faults_site: Path, where: str) -> None:
    fake.control(quirks="never-tell")
    script = f"""{PANICS}
s3 = faulty({where!r})
for _ in range(3):
    failing(s3.list_buckets)
    failing(lambda: list(s3.iter_buckets()))
failing(lambda: s3.bucket_region("bucket-00001")) if {where!r} != "list" else None
print(len(bystander.list_buckets()))
print(*_native.pybind_Info("").split("\\x1f")[3:4])
s3.close()
print(len(bystander.list_buckets()))
"""
    out = run(script, site=faults_site)
    assert out == "InternalError\n" * (6 + (where != "list")) + "10\n0\n10\n"


def test_a_panic_while_connecting_ahead_is_left_to_the_call(fake: servers.Server, faults_site: Path) -> None:
    script = f"""{PANICS}
s3 = faulty("credentials")
s3._options += "\\x1fpreconnect=1"
failing(s3.list_buckets)
failing(s3.wait_ready)
print(len(bystander.list_buckets()))
"""
    assert run(script, site=faults_site) == "InternalError\nInternalError\n10\n"


@pytest.mark.parametrize("where", ["open", "credentials", "list", "lookup"])
def test_the_release_has_no_fault_hooks(fake: servers.Server, client: Client, where: str) -> None:
    fake.control(quirks="never-tell")
    s3 = client()
    request: str = getattr(s3, "_options")  # noqa: B009
    setattr(s3, "_options", f"{request}\x1ffault={where}")  # noqa: B010
    assert len(s3.list_buckets().by_region()) == 7
    assert s3.bucket_region("bucket-00001") == "us-west-2"


def test_the_release_does_not_name_the_hooks() -> None:
    assert _native.__file__ and b"glowplug-fault-hook" not in Path(_native.__file__).read_bytes()


def test_the_canary_is_what_the_children_sign_with(fake: servers.Server) -> None:
    # Else the checks for the canary above could not fail.
    fake.control(keys=[{"id": "AKIAIOSFODNN7EXAMPLE", "secret": CANARY}])
    assert run("import glowplug; print(len(glowplug.S3().list_buckets()))") == "10\n"
