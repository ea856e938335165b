"""Processes: forks of a process that has not, and of one that has loaded the library; spawn; sub-interpreters.

GLOWPLUG_FORKS is the number of forks of the test that looks for what they leave (default 60).
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import glowplug
import psutil
import pytest
from glowplug import _runtime, aio, errors

import servers
from support import Stopwatch, info, run, wait_until

PATIENCE = 20.0  # seconds that a child may take
FORKS = int(os.environ.get("GLOWPLUG_FORKS", "60"))
BLOCKED: dict[str, Any] = {"kind": "black-hole"}


class Child:
    """A forked process that does some work and sends its result."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._result, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._result)
                try:
                    answer = pickle.dumps((work(), None))
                except BaseException:
                    answer = pickle.dumps((None, traceback.format_exc()))
                with open(write, "wb") as pipe:
                    pipe.write(answer)
            finally:
                os._exit(0)
        os.close(write)

    def result(self) -> Any:
        """What the work returned; a child that hangs, or ends otherwise than by itself, fails the test."""
        with open(self._result, "rb", buffering=0) as pipe:
            os.set_blocking(self._result, False)
            give_up, status = time.monotonic() + PATIENCE, None
            answer = b""
            while status is None:
                answer += pipe.read() or b""
                pid, ended = os.waitpid(self.pid, os.WNOHANG)
                status = ended if pid else None
                if time.monotonic() > give_up:
                    os.kill(self.pid, signal.SIGKILL)
                    os.waitpid(self.pid, 0)
                    pytest.fail(f"the child hung for {PATIENCE:g} s")
                time.sleep(0.001)
            answer += pipe.read() or b""
        assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"
        value, failure = pickle.loads(answer)
        assert failure is None, failure
        return value


def in_child(work: Callable[[], Any]) -> Any:
    return Child(work).result()


@pytest.fixture
def s3(fake: servers.Server) -> Iterator[glowplug.S3]:
    """A client that has been used: the library is loaded, a connection is open."""
    with glowplug.S3(preconnect=False) as client:
        assert len(client.list_buckets()) == 10
        yield client


def count(s3: glowplug.S3) -> int:
    return len(s3.list_buckets())


# What works in a child


def test_a_child_that_is_first_to_load_the_library_needs_no_copy(fake: servers.Server) -> None:
    out = run(
        "import os, glowplug\n"
        "from glowplug import _runtime\n"
        "s3 = glowplug.S3(preconnect=False)\n"
        "for _ in range(3):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        print(len(s3.list_buckets()), _runtime._generation, flush=True)\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "print(_runtime._native, len(s3.list_buckets()))\n"
    )
    assert out == "10 0\n" * 3 + "None 10\n"


def test_each_call_works_in_a_child_of_a_used_client(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(n=2500)
    expected = s3.list_buckets()

    def work() -> Any:
        assert s3.stats.requests == 0, "the counts are those of this process"
        found = s3.list_buckets()
        assert s3.stats.requests == 1
        assert list(s3.iter_buckets()) == list(found)
        assert s3.bucket_regions(["bucket-00001"]) == {"bucket-00001": s3.bucket_region("bucket-00001")}
        assert s3.wait_ready(5)
        with glowplug.S3() as other:
            assert other.list_buckets() == found
        with pytest.raises(errors.NotFoundError):
            s3.bucket_region("no-such-bucket")
        return found

    assert in_child(work) == expected
    assert s3.list_buckets() == expected
    assert in_child(work) == expected, "and in the next"


def test_a_child_keeps_the_environment_of_the_clients_making(fake: servers.Server, s3: glowplug.S3, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert in_child(lambda: count(s3)) == 10


def test_a_client_that_was_closed_stays_closed_in_the_child(s3: glowplug.S3) -> None:
    s3.close()

    def work() -> None:
        with pytest.raises(errors.InvalidArgumentError, match="closed"):
            s3.list_buckets()
        s3.close()

    in_child(work)


def test_a_client_that_a_child_closes_stays_open_in_the_parent(s3: glowplug.S3) -> None:
    clients = info().clients

    def work() -> int:
        s3.close()
        with glowplug.S3() as other:
            return count(other)

    assert in_child(work) == 10
    assert info().clients == clients and count(s3) == 10


def test_children_of_children_work_three_deep(fake: servers.Server, s3: glowplug.S3) -> None:
    def work(depth: int) -> list[int]:
        found = count(s3)
        deeper: list[int] = in_child(lambda: work(depth - 1)) if depth else []
        # A child that skips a generation of loading as well.
        skipping = in_child(lambda: in_child(lambda: count(s3))) if depth == 1 else 10
        assert count(s3) == skipping == 10
        return [found, *deeper]

    assert in_child(lambda: work(2)) == [10, 10, 10]


def test_many_threads_of_a_child_load_one_copy(fake: servers.Server, s3: glowplug.S3) -> None:
    def work() -> Any:
        start = threading.Barrier(16)

        def call(_: int) -> int:
            start.wait()
            return count(s3)

        with ThreadPoolExecutor(16) as pool:
            counts = Counter(pool.map(call, range(16)))
        return counts, _runtime._generation  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType]

    assert in_child(work) == ({10: 16}, 1)


def test_forks_under_load_work_and_disturb_nobody(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(n=1500)
    end = threading.Event()

    def load(i: int) -> int:
        done = 0
        while not end.is_set():
            found = s3.list_buckets() if i % 2 else list(s3.iter_buckets())
            assert len(found) == 1500
            done += 1
        return done

    def work() -> list[int]:
        return [count(s3) for _ in range(5)] + [in_child(lambda: count(s3))]

    with ThreadPoolExecutor(64) as pool:
        try:
            calls = [pool.submit(load, i) for i in range(64)]
            for _ in range(5):
                assert in_child(work) == [1500] * 6
        finally:
            end.set()
        assert all(call.result(PATIENCE) for call in calls)
    assert info().calls == 0


def test_a_fork_waits_for_a_load_that_is_under_way(fake: servers.Server) -> None:
    # The library is loaded in the background while the process forks, again and again.
    for _ in range(8):
        out = run(
            "import os, glowplug\n"
            "s3 = glowplug.S3()\n"
            "for _ in range(4):\n"
            "    pid = os.fork()\n"
            "    if not pid:\n"
            "        os._exit(len(s3.list_buckets()))\n"
            "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10\n"
            "print(len(s3.list_buckets()))\n"
        )
        assert out == "10\n"


def test_a_signals_handler_may_fork_while_the_library_is_loaded(fake: servers.Server) -> None:
    out = run(
        "import os, sys, glowplug\n"
        "s3 = glowplug.S3(preconnect=False)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'glowplug._native' and not pids:\n"
        "            pids.append(os.fork())\n"
        "            if not pids[0]:\n"
        "                n = len(s3.list_buckets())\n"
        "                os._exit(n)\n"
        "pids = []\n"
        "sys.meta_path.insert(0, Finder())\n"
        "assert len(s3.list_buckets()) == 10\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]))\n"
    )
    assert out == "10\n"


# Ways to fork


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works(fake: servers.Server, tmp_path: Path, method: str) -> None:
    (tmp_path / "app.py").write_text(
        "import glowplug\n"
        "s3 = glowplug.S3(preconnect=False)\n"
        "def listing(_=0):\n"
        "    with glowplug.S3() as other: return len(other.list_buckets()), len(s3.list_buckets())\n"
    )
    out = run(
        "import concurrent.futures, multiprocessing, app\n"
        "assert app.listing() == (10, 10)\n"
        f"context = multiprocessing.get_context({method!r})\n"
        "with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:\n"
        "    jobs = [pool.submit(app.listing) for _ in range(6)]\n"
        "    assert {job.result(30) for job in jobs} == {(10, 10)}\n"
        "with context.Pool(2) as workers: assert set(workers.map(app.listing, range(6))) == {(10, 10)}\n"
        "process = context.Process(target=app.listing)\n"
        "process.start(); process.join(20)\n"
        "print(process.exitcode, app.listing())\n",
        site=tmp_path,
    )
    assert out == "0 (10, 10)\n"


def test_a_client_does_not_pickle_to_a_worker(s3: glowplug.S3) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(s3)


def test_a_pre_fork_server_serves_from_all_its_workers(fake: servers.Server, tmp_path: Path) -> None:
    # The shape of gunicorn with preload_app: load, make a client, fork, serve, replace a worker that ended, end by SIGTERM.
    (tmp_path / "app.py").write_text("import glowplug\ns3 = glowplug.S3()\ns3.wait_ready(5)\ndef app(): return len(s3.list_buckets())\n")
    out = run(
        "import os, signal, socket, sys, time\n"
        "from app import app\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "def worker():\n"
        "    pid = os.fork()\n"
        "    if pid: return pid\n"
        "    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "    while True:\n"
        "        c, _ = listener.accept()\n"
        "        with c: c.sendall(f'{os.getpid()} {app()}'.encode())\n"
        "def ask():\n"
        "    with socket.create_connection(listener.getsockname()) as c:\n"
        "        return c.makefile().read().split()\n"
        "workers = [worker() for _ in range(4)]\n"
        "seen = set()\n"
        "for _ in range(40):\n"
        "    pid, n = ask()\n"
        "    assert n == '10', n\n"
        "    seen.add(pid)\n"
        "os.kill(workers[0], signal.SIGKILL)\n"
        "os.waitpid(workers.pop(0), 0)\n"
        "workers.append(worker())\n"
        "assert all(ask()[1] == '10' for _ in range(20))\n"
        "for pid in workers: os.kill(pid, signal.SIGTERM)\n"
        "codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]\n"
        "print(codes, len(seen) > 1, app())\n",
        site=tmp_path,
    )
    assert out == "[0, 0, 0, 0] True 10\n"


@pytest.mark.parametrize("parent", ["nothing", "glowplug", "handler"])
def test_workers_that_import_the_handler_themselves_work(fake: servers.Server, tmp_path: Path, parent: str) -> None:
    # The shape of awslambdaric on Managed Instances: the child imports the handler; hooks may have imported it in the parent.
    (tmp_path / "app.py").write_text("import glowplug\ns3 = glowplug.S3()\ndef handler(event, context): return len(s3.list_buckets())\n")
    imported = {"nothing": "", "glowplug": "import glowplug\n", "handler": "import app\nassert app.handler({}, None) == 10\n"}[parent]
    out = run(
        f"import multiprocessing, os\n{imported}"
        "def work(queue):\n"
        "    import importlib\n"
        "    app = importlib.import_module('app')\n"
        "    for _ in range(3): queue.put(app.handler({}, None))\n"
        "context = multiprocessing.get_context('fork')\n"
        "queue = context.SimpleQueue()\n"
        "workers = [context.Process(target=work, args=(queue,)) for _ in range(4)]\n"
        "for w in workers: w.start()\n"
        "print(sorted(queue.get() for _ in range(12)))\n"
        "for w in workers: w.join()\n"
        "print([w.exitcode for w in workers])\n",
        env={"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_MAX_CONCURRENCY": "4"},
        site=tmp_path,
    )
    assert out == f"{[10] * 12}\n[0, 0, 0, 0]\n"


def test_a_fork_without_pythons_hooks_is_noticed(fake: servers.Server, s3: glowplug.S3, monkeypatch: pytest.MonkeyPatch) -> None:
    # A fork in C: the id of the process changes, no hook ran, and locks may be held that nobody will release.
    def work() -> int:
        _runtime._forks -= 1  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
        assert _runtime.is_dead()
        return count(s3)

    assert in_child(work) == 10

    # uWSGI runs the hook of the child without those before the fork.
    def twice() -> int:
        _runtime._after_fork()  # pyright: ignore[reportPrivateUsage]
        return count(s3) + in_child(lambda: count(s3))

    assert in_child(twice) == 20


def test_a_descendant_that_has_an_ancestors_process_id_is_noticed(fake: servers.Server, s3: glowplug.S3, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: mine)
        assert in_child(lambda: count(s3)) == 10
        stream = s3.iter_buckets()
        next(stream)

        def work() -> int:
            with pytest.raises(errors.ForkError):
                list(stream)
            return count(s3)

        assert in_child(work) == 10
        stream.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


# What a child may not do


class Guard:
    """The native module of one process; in any other its functions end that."""

    def __init__(self, module: Any) -> None:
        self._module, self._pid = module, os.getpid()
        self.entered = 0

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if not callable(function):
            return function

        def guarded(*args: Any) -> Any:
            if os.getpid() != self._pid:
                os.write(2, f"{name} was called in a child\n".encode())
                os._exit(99)
            self.entered += 1
            return function(*args)

        return guarded


@pytest.fixture
def guarded(s3: glowplug.S3, monkeypatch: pytest.MonkeyPatch) -> Guard:
    guard = Guard(_runtime.native())
    monkeypatch.setattr(_runtime, "_native", guard)
    return guard


def test_no_path_of_a_child_enters_the_library_of_its_parent(fake: servers.Server, s3: glowplug.S3, guarded: Guard) -> None:
    fake.control(n=2500)
    stream = s3.iter_buckets()
    next(stream)
    call = _runtime.Call(s3._open(time.monotonic() + 5), "list", "", time.monotonic() + 5)  # pyright: ignore[reportPrivateUsage]
    call.poll()
    begun, other = s3.iter_buckets(), glowplug.S3()

    def raised(work: Callable[[], Any]) -> str:
        with pytest.raises(errors.ForkError, match="before the process was forked") as caught:
            work()
        assert isinstance(caught.value, RuntimeError) and not caught.value.retryable
        return caught.value.code

    def closes() -> None:
        nonlocal stream, other, call
        stream.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        call.close()
        s3.close()
        other.close()

    def forgets() -> None:
        nonlocal stream, other, call, begun
        del stream, other, call, begun
        gc.collect()

    def asks() -> None:
        assert s3.stats.requests == 0
        repr(s3)
        s3.__del__()

    def continues() -> list[str]:
        return [raised(lambda: list(stream)), raised(call.take), raised(call.take)]

    def begins() -> int:
        # It was made before the fork and begins after it.
        return len(list(begun))

    def calls() -> int:
        return count(s3) + count(other)

    def exits() -> None:
        _runtime._at_exit()  # pyright: ignore[reportPrivateUsage]

    for work, expected in {closes: None, forgets: None, asks: None, exits: None, continues: ["CallOfParent"] * 3, begins: 2500, calls: 5000}.items():
        assert in_child(work) == expected, work.__name__
        if work is not exits:
            assert in_child(lambda work=work: (work(), in_child(lambda: count(glowplug.S3())))[1]) == 2500, work.__name__
    assert guarded.entered
    assert len(list(stream)) == 2499, "the parent's goes on"
    call.close()
    other.close()


@pytest.mark.parametrize("end", ["sys.exit(3)", "os._exit(3)", "raise SystemExit(3)", "os.execv('/bin/sh', ['sh', '-c', 'exit 3'])", "os.kill(os.getpid(), 15)", "os.abort()"])
@pytest.mark.parametrize("before", ["", "len(s3.list_buckets())", "s3.close()"], ids=["at once", "after a call", "after close"])
def test_a_child_ends_in_every_way(fake: servers.Server, end: str, before: str) -> None:
    fake.control(n=2500)
    with Stopwatch() as watch:
        out = run(
            "import os, sys, threading, atexit, glowplug\n"
            "s3 = glowplug.S3()\n"
            "s3.list_buckets()\n"
            "stream = s3.iter_buckets(); next(stream)\n"
            "atexit.register(s3.close)\n"
            "pid = os.fork()\n"
            "if not pid:\n"
            f"    {before}\n"
            f"    {end}\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(s3.list_buckets()), len(list(stream)))\n"
        )
    code = {"os.kill(os.getpid(), 15)": -15, "os.abort()": -6}.get(end, 3)
    assert out == f"{code} 2500 2499\n" and watch.seconds < 10


@pytest.mark.parametrize("used", ["", "s3.list_buckets()"], ids=["at once", "after a call"])
def test_a_crash_of_a_child_is_a_crash(fake: servers.Server, used: str) -> None:
    # The handlers of two Go runtimes are in line before the system's.
    out = run(
        "import os, resource, signal, time, glowplug\n"
        "s3 = glowplug.S3()\n"
        "s3.list_buckets()\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "for sent in ('SEGV', 'BUS', 'FPE', 'ILL', 'ABRT', 'TERM', 'PROF', 'USR1', 'URG', 'CHLD', 'PIPE'):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        f"        {used}\n"
        "        os.kill(os.getpid(), getattr(signal, f'SIG{sent}'))\n"
        "        time.sleep(0.1)\n"
        "        os._exit(0)\n"
        "    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "    print(sent, signal.Signals(-status).name if status else 'lived')\n"
    )
    died = [f"{name} SIG{name}" for name in ("SEGV", "BUS", "FPE", "ILL", "ABRT", "TERM", "PROF", "USR1")]
    assert out.splitlines() == [*died, "URG lived", "CHLD lived", "PIPE lived"]


# asyncio


def test_a_child_of_a_loop_has_a_hub_of_its_own_and_leaves_the_parents_alone(fake: servers.Server, guarded: Guard) -> None:
    fake.control(n=2500, reset_stats=True, faults=[{**BLOCKED, "times": 1}])

    async def main() -> None:
        s3 = aio.S3(preconnect=False, attempt_timeout=20)
        waiting = asyncio.ensure_future(s3.list_buckets(timeout=30))
        while fake.stats()["lists"] == 0:
            await asyncio.sleep(0.005)
        buckets: Any = s3.iter_buckets()
        await anext(buckets)

        async def listing() -> int:
            return len(await s3.list_buckets()) + len([b async for b in s3.iter_buckets()])

        def in_new_loop() -> int:
            # Python 3.12 and later do this at the fork.
            asyncio._set_running_loop(None)
            return asyncio.run(listing())

        def step(awaited: Any) -> Any:
            try:
                awaited.send(None)
            except StopIteration as e:
                return e.value

        def continues() -> str:
            asyncio._set_running_loop(None)
            try:
                while True:
                    step(anext(buckets).__await__())
            except errors.ForkError as e:
                return e.code

        def forgets() -> None:
            nonlocal buckets, waiting
            step(buckets.aclose())
            waiting.cancel()
            del buckets, waiting
            gc.collect()

        assert in_child(in_new_loop) == 5000
        assert in_child(continues) == "CallOfParent"
        assert in_child(forgets) is None
        # The parent's selector is shared with its children: what it watches is as before.
        assert len([b async for b in buckets]) == 2499
        assert len(await s3.list_buckets()) == 2500
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        s3.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert guarded.entered and not aio._hubs  # pyright: ignore[reportPrivateUsage]


# Where the copy can't be had


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSYS, "refused")


def test_a_copy_on_disk_serves_where_memory_does_not(s3: glowplug.S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def work() -> tuple[int, bool, list[Path]]:
        found = count(s3)
        return found, str(tmp_path) in Path("/proc/self/maps").read_text(), list(tmp_path.iterdir())

    assert in_child(work) == (10, False, []), "in memory"

    def read_only(*_: Any) -> int:
        return os.open(os.devnull, os.O_RDONLY)

    for replacement in (refuse, read_only):
        monkeypatch.setattr(os, "memfd_create", replacement)
        assert in_child(work) == (10, True, []), "from the disk, and nothing is left there"
    monkeypatch.delattr(os, "memfd_create")
    assert in_child(work) == (10, True, [])


def test_a_memory_file_that_may_not_be_executed_leads_to_the_disk(s3: glowplug.S3, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    memory, make = os.memfd_create, os.memfd_create

    def strict(*args: Any) -> int:
        asked.append(args)
        if len(args) > 1:
            raise OSError(errno.EINVAL, "a kernel that does not know MFD_EXEC")
        return make(*args)

    def work() -> tuple[int, int]:
        return count(s3), len(asked)

    monkeypatch.setattr(os, "memfd_create", strict)
    assert in_child(work) == (10, 2), "an old kernel is asked again without the flag"

    # As on a system that mounts no executable memory: the linker is refused, the disk is next.
    monkeypatch.setattr(os, "memfd_create", memory)
    in_memory = _runtime._copy_in_memory  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(_runtime, "_copy_in_memory", lambda source: (in_memory(source)[0], "/proc/self/fd/999999"))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    assert in_child(lambda: count(s3)) == 10


@pytest.mark.parametrize("why", ["no memory and no disk", "no file", "cut short"])
def test_where_no_copy_can_be_had_fork_error_comes_at_once(s3: glowplug.S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str) -> None:
    if why == "no memory and no disk":
        monkeypatch.setattr(os, "memfd_create", refuse)
        monkeypatch.setattr(tempfile, "mkstemp", refuse)
    elif why == "no file":
        monkeypatch.setattr(_runtime, "__file__", str(tmp_path / "_runtime.py"))
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

        def nothing_more(*_: Any) -> int:
            return 0

        monkeypatch.setattr(os, "sendfile", nothing_more)
    stream = s3.iter_buckets()

    def work() -> None:
        descriptors = len(os.listdir("/proc/self/fd"))
        for call in (s3.list_buckets, lambda: next(stream), s3.wait_ready, lambda: s3.bucket_region("bucket-00001"), lambda: glowplug.S3(preconnect=False).list_buckets(), lambda: asyncio.run(aio.S3(preconnect=False).list_buckets())):
            with Stopwatch() as watch, pytest.raises(errors.ForkError, match="make glowplug.S3\\(\\) in the child only") as caught:
                call()
            assert watch.seconds < 0.5 and caught.value.code == "ForkedAfterStart"
        s3.close()
        assert len(os.listdir("/proc/self/fd")) == descriptors and not list(tmp_path.glob("*.so"))

    in_child(work)
    assert count(s3) == 10


# What forks leave, and cost


def memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_forks_leave_the_parent_as_it_was(fake: servers.Server, s3: glowplug.S3) -> None:
    def rounds(n: int) -> None:
        for _ in range(n):
            pid = os.fork()
            if pid == 0:
                try:
                    os._exit(count(s3))
                finally:
                    os._exit(99)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10

    def state() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    rounds(5)
    gc.collect()
    (descriptors, threads), resident, go = state(), memory(), info()
    rounds(FORKS)
    assert count(s3) == 10
    gc.collect()
    wait_until(lambda: state()[0] <= descriptors, f"descriptors: {descriptors} {state()}")
    assert state()[1] <= threads + 2, "Go may have started a thread"
    assert memory() - resident < 4 << 20
    assert info()[2:4] == go[2:4]
    if FORKS > 60:
        print(f"{FORKS} forks: descriptors {descriptors} -> {state()[0]}, threads {threads} -> {state()[1]}, resident {resident / 2**20:.1f} -> {memory() / 2**20:.1f} MB")


def test_the_connections_of_the_parent_are_the_parents(fake: servers.Server, s3: glowplug.S3) -> None:
    # A child has them open until it ends, and neither uses nor closes them.
    def work() -> int:
        found = count(s3)
        s3.close()
        return found

    fake.control(reset_stats=True)
    assert in_child(work) == 10
    assert count(s3) == 10
    assert s3.list_buckets().stats.connections == 0, "the parent's connection is still its own"
    looks = 2  # requests of ours for these numbers: the reset's connection is not counted
    assert fake.stats()["conns"] - looks <= 1 and fake.stats()["lists"] == 3


# Other interpreters


@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_sub_interpreters_are_refused_or_work_side_by_side(fake: servers.Server, kind: str) -> None:
    # Isolated ones are refused from Python 3.12 on; before that, and in legacy ones (mod_wsgi), they work.
    module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    make = "create()" if kind == "isolated" else "create('legacy')" if sys.version_info >= (3, 13) else "create(isolated=False)"
    refused = kind == "isolated" and sys.version_info >= (3, 12)
    fake.control(delay="10ms")
    work = "\n".join([
        "import glowplug, os",
        "try:",
        "    with glowplug.S3() as s3:",
        "        for _ in range(20): assert len(s3.list_buckets()) == len(list(s3.iter_buckets())) == 10",
        "    answer = b'worked\\n'",
        "except glowplug.errors.UnsupportedError as e:",
        "    assert isinstance(e, ImportError) and 'main interpreter' in str(e), e",
        "    answer = b'refused\\n'",
        "os.write(1, answer)",
    ])
    out = run(
        "import glowplug, threading\n"
        f"import {module} as interpreters\n"
        "s3 = glowplug.S3(preconnect=False)\n"
        "s3.list_buckets()\n"
        "def work():\n"
        f"    i = interpreters.{make}\n"
        f"    failure = interpreters.run_string(i, {work!r})\n"
        "    assert failure is None, failure\n"
        "    interpreters.destroy(i)\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "for t in threads: t.start()\n"
        "assert all(len(s3.list_buckets()) == 10 for _ in range(20))\n"
        "for t in threads: t.join()\n"
    )
    assert out == ("refused\n" if refused else "worked\n") * 4


def test_a_sub_interpreter_ends_while_its_client_is_being_opened(fake: servers.Server) -> None:
    module, legacy = ("_interpreters", "'legacy'") if sys.version_info >= (3, 13) else ("_xxsubinterpreters", "isolated=False")
    # Before 3.12 it is an error of the user's to end one that has a thread.
    pause = 0.1 if sys.version_info < (3, 12) else 0
    out = run(
        f"import {module} as interpreters\n"
        "for _ in range(10):\n"
        f"    i = interpreters.create({legacy})\n"
        f"    interpreters.run_string(i, 'import glowplug, time; s3 = glowplug.S3(); time.sleep({pause})')\n"
        "    interpreters.destroy(i)\n"
        "print('well')\n"
    )
    assert out == "well\n"


def test_an_interpreter_that_can_not_load_the_library_says_so(tmp_path: Path) -> None:
    out = run(
        "import sys, glowplug\n"
        "sys.modules['glowplug._native'] = None\n"
        "for _ in range(2):\n"
        "    try: glowplug.S3().list_buckets()\n"
        "    except ImportError as e: print(type(e).__name__, e.code)\n"
        "del sys.modules['glowplug._native']\n"
        "from glowplug import _runtime\n"
        "print(_runtime.native().__name__)\n"
    )
    assert out == "UnsupportedError LibraryNotLoaded\n" * 2 + "glowplug._native\n"


def test_what_a_copy_costs(fake: servers.Server, s3: glowplug.S3, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> tuple[float, float]:
        process = psutil.Process()
        before = process.memory_full_info().uss
        with Stopwatch() as watch:
            _runtime.native()
        count(s3)
        return watch.seconds, (process.memory_full_info().uss - before) / 2**20

    costs = sorted(in_child(work) for _ in range(5))
    with capsys.disabled():
        print(f"\na forked child's copy: loaded in {costs[2][0] * 1000:.1f} ms, {costs[2][1]:.1f} MB of its own after a call")
    assert costs[0][0] < 1
