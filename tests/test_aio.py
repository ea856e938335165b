"""The asyncio client on the fake: answers as the sync client's, no thread per call, cancellation, loops, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio
import glowplug
import pytest
import uvloop
from glowplug import _runtime, aio, errors

import servers
from support import Stopwatch, info, run, wait_until

T = TypeVar("T")
Runner = Callable[[Coroutine[Any, Any, T]], T]
BLOCKED: dict[str, Any] = {"kind": "black-hole"}


def with_asyncio(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


def with_uvloop(main: Coroutine[Any, Any, T]) -> T:
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def with_anyio(main: Coroutine[Any, Any, T]) -> T:
    async def inner() -> T:
        return await main

    return anyio.run(inner, backend="asyncio")


@pytest.fixture(params=[with_asyncio, with_uvloop, with_anyio], ids=["asyncio", "uvloop", "anyio"])
def run_in(request: pytest.FixtureRequest) -> Runner[Any]:
    """Runs a coroutine in one of the loops that are supported."""
    runner: Runner[Any] = request.param
    return runner


@pytest.fixture
def s3(fake: servers.Server) -> Iterator[aio.S3]:
    client = aio.S3(preconnect=False)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def nothing_is_left(environment: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test no call, hub or descriptor is there that was not before."""
    _runtime.native()
    with_uvloop(asyncio.sleep(0))  # opens a pipe of its own, once
    gc.collect()
    descriptors = kinds()
    yield
    gc.collect()
    wait_until(lambda: info().calls == 0, f"no call is left in Go: {info()}")
    assert not aio._hubs, "no hub is left"  # pyright: ignore[reportPrivateUsage]
    wait_until(lambda: kinds() == descriptors, f"the descriptors are as before: {descriptors} {kinds()}")


def kinds() -> list[str]:
    """The open pipes of this process, and how many sockets and selectors."""
    found: list[str] = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/self/fd/{fd}")
            found.append(link if link.startswith("pipe:") else link.partition(":")[0])
    return sorted(kind for kind in found if kind.startswith("pipe:") or "event" in kind)


def threads() -> tuple[int, int]:
    """Python's threads, and the process's, of which the others are Go's."""
    return threading.active_count(), len(os.listdir("/proc/self/task"))


async def under_way(fake: servers.Server, requests: int) -> None:
    """Return once the server has so many requests."""
    loop = asyncio.get_running_loop()
    give_up = time.monotonic() + 10
    while (await loop.run_in_executor(None, fake.stats))["reqs"] < requests:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


# Answers


def test_answers_are_those_of_the_sync_client(fake: servers.Server, run_in: Runner[Any]) -> None:
    fake.control(n=2500)
    with glowplug.S3(preconnect=False) as sync:

        async def main() -> None:
            async with aio.S3(preconnect=False) as s3:
                assert await s3.wait_ready() is True
                assert await s3.list_buckets() == sync.list_buckets()
                assert await s3.list_buckets(prefix="bucket-0001", region="eu-west-1") == sync.list_buckets(prefix="bucket-0001", region="eu-west-1")
                assert (await s3.list_buckets(limit=3)).truncated
                assert [b async for b in s3.iter_buckets()] == list(sync.iter_buckets())
                assert [b async for b in s3.iter_buckets(region="eu-west-1", limit=3)] == list(sync.iter_buckets(region="eu-west-1", limit=3))
                assert await s3.bucket_region("bucket-00003") == "eu-central-1"
                names = ["bucket-00002", "no-such-bucket", "bucket-00000", "bucket-00002"]
                # Errors have the ids of their requests, which differ.
                assert list(map(str, (await s3.bucket_regions(iter(names))).items())) == list(map(str, sync.bucket_regions(names).items()))
                assert await s3.bucket_regions([]) == {}
                assert (await s3.list_buckets(limit=5)).stats.requests == 1 and s3.stats.requests > 5
                assert repr(s3) == f"aio.{sync!r}"

        run_in(main())


def test_errors_are_those_of_the_sync_client(fake: servers.Server, run_in: Runner[Any]) -> None:
    async def main() -> None:
        async with aio.S3(preconnect=False, max_attempts=1) as s3:
            fake.control(faults=[{"kind": "deny", "op": "list"}])
            for call in (s3.list_buckets, lambda: collect(s3.iter_buckets())):
                with pytest.raises(errors.AccessDeniedError) as caught:
                    await call()
                assert (caught.value.operation, caught.value.status) == ("ListBuckets", 403)
            with pytest.raises(errors.NotFoundError):
                await s3.bucket_region("no-such-bucket")
            with pytest.raises(errors.NotFoundError):
                await s3.bucket_regions(["bucket-00001", "no-such-bucket"], on_error="raise")
            for bad in ({"limit": 0}, {"prefix": "\0"}, {"timeout": -1}, {"on_error": "no"}):
                with pytest.raises(errors.InvalidArgumentError):
                    await s3.list_buckets(**bad)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                with pytest.raises(errors.InvalidArgumentError):
                    s3.iter_buckets(**bad)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            with pytest.raises(errors.ArgumentTypeError):
                await s3.bucket_regions("bucket-00001")
        for call in (s3.list_buckets, s3.wait_ready, lambda: collect(s3.iter_buckets()), lambda: s3.bucket_region("bucket-00001")):
            with pytest.raises(errors.InvalidArgumentError, match="closed: make another"):
                await call()

    run_in(main())


async def collect(buckets: AsyncIterator[glowplug.Bucket]) -> list[glowplug.Bucket]:
    return [b async for b in buckets]


def test_the_calls_outside_of_a_loop_say_so(s3: aio.S3) -> None:
    call = s3.list_buckets()
    with pytest.raises(RuntimeError, match="no running event loop"):
        call.send(None)


# Many calls


def test_a_thousand_calls_at_once_leave_nothing(fake: servers.Server, run_in: Runner[Any]) -> None:
    fake.control(n=100, delay="700ms")
    with glowplug.S3(preconnect=False) as warm:
        assert len(warm.list_buckets()) == 100
    wait_until(lambda: info().clients == 0, "the warm client is gone")
    before, (python, _) = info(), threads()
    most = 0

    async def main() -> None:
        nonlocal most
        async with aio.S3(preconnect=False, timeout=60, attempt_timeout=30) as s3:
            calls = [asyncio.ensure_future(s3.list_buckets(limit=20)) for _ in range(1000)]
            while not all(call.done() for call in calls):
                assert threading.active_count() == python, "no Python thread is started"
                most = max(most, info().calls)
                await asyncio.sleep(0.01)
            found = [call.result() for call in calls]
            assert all(len(f) == 20 for f in found) and found[0] == found[-1]
            assert len(asyncio.all_tasks()) == 1
            assert len(aio._hubs) == 0  # pyright: ignore[reportPrivateUsage]

    run_in(main())
    assert most > 900, "they were under way at once"
    # Go's threads are bound by its processors and by what blocks in the system, not by calls.
    assert threads()[1] - threads()[0] < 40
    wait_until(lambda: info().clients == 0 and info().goroutines <= before.goroutines, f"clients and goroutines are as before: {before} {info()}")


def test_the_loop_runs_on_while_calls_wait(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(faults=[BLOCKED])

    async def main() -> tuple[int, float]:
        call = asyncio.ensure_future(s3.list_buckets(timeout=0.4))
        ticks, longest, last = 0, 0.0, time.monotonic()
        while not call.done():
            await asyncio.sleep(0.002)
            ticks, longest, last = ticks + 1, max(longest, time.monotonic() - last), time.monotonic()
        assert isinstance(call.exception(), errors.TimeoutError)
        return ticks, longest

    ticks, longest = run_in(main())
    assert ticks > 50 and longest < 0.1


def test_two_loops_in_two_threads_share_a_client(fake: servers.Server, s3: aio.S3) -> None:
    fake.control(n=2500)

    async def main() -> list[int]:
        return [len(found) for found in await asyncio.gather(*(s3.list_buckets() for _ in range(20)))]

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(runner, main()) for runner in (with_asyncio, with_uvloop) * 2]
        assert [call.result() for call in runs] == [[2500] * 20] * 4


def test_a_client_serves_one_loop_after_another(s3: aio.S3, run_in: Runner[Any]) -> None:
    for _ in range(20):
        assert len(run_in(s3.list_buckets())) == 10


# Ends


async def cancel(fake: servers.Server, call: Awaitable[Any]) -> None:
    fake.control(reset_stats=True)
    task = asyncio.ensure_future(call)
    await under_way(fake, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_cancelling_the_task_cancels_the_call_in_go(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(faults=[BLOCKED])
    with glowplug.S3(preconnect=False, timeout=0.2) as warm, pytest.raises(errors.TimeoutError):
        warm.list_buckets()
    wait_until(lambda: info().clients == 0, "the warm client is gone")
    before = info().goroutines

    async def main() -> None:
        for call in (s3.list_buckets, lambda: collect(s3.iter_buckets()), lambda: s3.bucket_region("bucket-00001")):
            await cancel(fake, call())
            assert info().calls == 0
            # The request has ended: its goroutines and its connection are gone.
            while info().goroutines > before:
                await asyncio.sleep(0.005)
        fake.control(clear=True)
        assert len(await s3.list_buckets()) == 10, "the client is whole"

    run_in(asyncio.wait_for(main(), 10))


@pytest.mark.parametrize("bound", ["wait_for", "asyncio.timeout", "anyio"])
def test_time_limits_of_the_loop_end_the_call(fake: servers.Server, s3: aio.S3, bound: str) -> None:
    if bound == "asyncio.timeout" and sys.version_info < (3, 11):
        bound = "wait_for"  # asyncio.timeout came with 3.11
    fake.control(faults=[BLOCKED])

    async def main() -> None:
        with pytest.raises((asyncio.TimeoutError, TimeoutError)) as caught:
            if bound == "wait_for":
                await asyncio.wait_for(s3.list_buckets(), 0.1)
            elif bound == "asyncio.timeout" and sys.version_info >= (3, 11):
                async with asyncio.timeout(0.1):
                    await s3.list_buckets()
            else:
                with anyio.fail_after(0.1):
                    await s3.list_buckets()
        assert not isinstance(caught.value, errors.GlowplugError)
        assert info().calls == 0

    with Stopwatch() as watch:
        (with_anyio if bound == "anyio" else with_asyncio)(main())
    assert watch.seconds < 0.5


def test_a_failing_sibling_in_a_task_group_cancels_the_calls(fake: servers.Server, s3: aio.S3) -> None:
    fake.control(faults=[{**BLOCKED, "op": "list"}])

    async def main() -> None:
        with contextlib.suppress(BaseException):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(s3.list_buckets)
                await anyio.sleep(0.1)
                await s3.bucket_region("no-such-bucket")
        assert info().calls == 0

    with Stopwatch() as watch:
        with_anyio(main())
    assert watch.seconds < 1


def test_the_deadlines_of_calls_hold(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(n=2500, faults=[{**BLOCKED, "after": 1}])

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 450

    async def main() -> None:
        seen: list[str] = []
        with Stopwatch() as watch, pytest.raises(errors.TimeoutError):
            async for bucket in s3.iter_buckets(timeout=0.2):
                seen.append(bucket.name)
        assert len(seen) == 1000 and 0.15 < watch.seconds < 0.6
        for call in (lambda: s3.list_buckets(timeout=0.2), lambda: s3.bucket_region("bucket-00001", context=Context()), lambda: collect(s3.iter_buckets(timeout=0.2))):
            with Stopwatch() as watch, pytest.raises(errors.TimeoutError) as caught:
                await call()
            assert caught.value.retryable and 0.15 < watch.seconds < 0.6
        async with aio.S3(preconnect=False, timeout=0.2) as hasty:
            with Stopwatch() as watch, pytest.raises(errors.TimeoutError):
                await collect(hasty.iter_buckets())
        assert 0.15 < watch.seconds < 0.6

    run_in(main())


def test_a_call_that_go_does_not_end_is_ended_by_the_loop(fake: servers.Server, s3: aio.S3, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.control(faults=[BLOCKED])
    # Go is told nothing of the deadline: as if it did not notice.
    def untold(deadline: float) -> str:
        return ""

    monkeypatch.setattr(aio, "_timeout", untold)
    with Stopwatch() as watch, pytest.raises(errors.TimeoutError, match="before the answer was whole"):
        asyncio.run(s3.list_buckets(timeout=0.2))
    assert 0.2 < watch.seconds < 1


def test_closing_the_client_ends_its_calls(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(faults=[BLOCKED])

    async def main() -> None:
        calls: list[asyncio.Future[Any]] = [asyncio.ensure_future(s3.list_buckets()) for _ in range(8)]
        calls += [asyncio.ensure_future(collect(s3.iter_buckets())) for _ in range(2)]
        await under_way(fake, 10)
        await s3.aclose()
        for failure in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1):
            assert isinstance(failure, errors.CancelledError) and failure.code == "ClientClosed"

    run_in(main())


# Streams


def test_a_stream_yields_while_the_next_page_is_blocked(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(n=2500, faults=[{**BLOCKED, "op": "list", "after": 1}])

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            buckets: Any = s3.iter_buckets()
            stack.push_async_callback(buckets.aclose)
            assert (await asyncio.wait_for(buckets.__anext__(), 1)).name == "bucket-00000"
            assert info().calls == 1
        assert info().calls == 0

    run_in(main())


def test_aclosing_ends_a_stream_at_once(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(n=5000)

    async def main() -> None:
        async with contextlib.aclosing(s3.iter_buckets()) as buckets:  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUnknownVariableType]
            async for _ in buckets:  # pyright: ignore[reportUnknownVariableType]
                break
        assert info().calls == 0

    run_in(main())


def test_a_stream_that_is_left_ends_with_its_collection(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(n=5000)

    async def main() -> None:
        async for _ in s3.iter_buckets():
            break
        gc.collect()
        await asyncio.sleep(0.05)
        assert info().calls == 0

        kept = s3.iter_buckets()
        async for _ in kept:
            break
        assert info().calls == 1, "that one ends with the loop"

    run_in(main())


def test_a_stream_that_fails_midway_raises_after_what_it_yielded(fake: servers.Server, s3: aio.S3, run_in: Runner[Any]) -> None:
    fake.control(n=2500, faults=[{"kind": "deny", "op": "list", "after": 2}])

    async def main() -> None:
        seen: list[str] = []
        with pytest.raises(errors.AccessDeniedError):
            async for bucket in s3.iter_buckets():
                seen.append(bucket.name)
        assert seen == [servers.name(i) for i in range(2000)]
        fake.control(clear=True)
        with pytest.raises(ZeroDivisionError):
            async for _ in s3.iter_buckets(limit=1):
                raise ZeroDivisionError

    run_in(main())


def test_two_readers_of_one_stream_are_told_apart_by_python(fake: servers.Server, s3: aio.S3) -> None:
    fake.control(n=2500, delay="50ms")

    async def main() -> None:
        buckets = s3.iter_buckets()
        both = await asyncio.gather(anext(buckets), anext(buckets), return_exceptions=True)
        assert [type(b) for b in both] == [glowplug.Bucket, RuntimeError]
        await buckets.aclose()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    asyncio.run(main())


# Loops that end


def test_context_variables_are_those_of_the_caller(s3: aio.S3, run_in: Runner[Any]) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    async def call(i: int) -> bool:
        variable.set(i)
        await s3.list_buckets()
        async for _ in s3.iter_buckets():
            if variable.get() != i:
                return False
        return variable.get() == i

    async def main() -> None:
        assert all(await asyncio.gather(*(call(i) for i in range(1, 50))))
        assert variable.get() == 0

    run_in(main())


def ignore(*_: object) -> None:
    pass


def test_a_loop_that_is_closed_with_calls_under_way_can_be_forgotten(fake: servers.Server, s3: aio.S3) -> None:
    fake.control(faults=[BLOCKED])
    for new in (asyncio.new_event_loop, uvloop.new_event_loop):
        loop = new()
        loop.set_exception_handler(ignore)  # "Task was destroyed but it is pending"
        calls = [loop.create_task(s3.list_buckets()) for _ in range(5)]
        loop.run_until_complete(asyncio.sleep(0.1))
        assert info().calls == 5
        loop.close()
        del loop, calls
        gc.collect()
        assert (info().calls, len(aio._hubs)) == (0, 0)  # pyright: ignore[reportPrivateUsage]


def test_a_call_goes_on_when_its_loop_does(fake: servers.Server, s3: aio.S3) -> None:
    fake.control(delay="100ms")
    loop = asyncio.new_event_loop()
    call = loop.create_task(s3.list_buckets())
    loop.run_until_complete(asyncio.sleep(0.02))
    time.sleep(0.2)
    assert len(loop.run_until_complete(call)) == 10
    loop.close()


def test_calls_at_the_shutdown_of_the_loop_are_cancelled(fake: servers.Server, s3: aio.S3) -> None:
    fake.control(faults=[BLOCKED])

    async def at_shutdown() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            # While asyncio.run cancels what is left.
            fake.control(clear=True)
            assert len(await s3.list_buckets()) == 10
            done.append(True)

    async def main() -> None:
        for call in (s3.list_buckets(), collect(s3.iter_buckets()), at_shutdown()):
            tasks.append(asyncio.ensure_future(call))
        await asyncio.sleep(0.1)

    done: list[bool] = []
    tasks: list[asyncio.Future[Any]] = []
    asyncio.run(main())
    assert done and [task.cancelled() for task in tasks] == [True, True, True]


def test_ctrl_c_ends_the_calls_of_asyncio_run(fake: servers.Server, s3: aio.S3) -> None:
    fake.control(faults=[BLOCKED])

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.gather(s3.list_buckets(), collect(s3.iter_buckets()))

    with Stopwatch() as watch, pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert watch.seconds < 1 and info().calls == 0


def test_an_interpreter_that_ends_with_calls_under_way_ends_well(fake: servers.Server) -> None:
    fake.control(faults=[BLOCKED])
    script = (
        "import asyncio, gc, sys\n"
        "from glowplug import aio\n"
        "s3 = aio.S3()\n"
        "loop = asyncio.new_event_loop()\n"
        "loop.set_exception_handler(lambda *_: None)\n"
        "calls = [loop.create_task(s3.list_buckets()) for _ in range(5)]\n"
        "loop.run_until_complete(asyncio.sleep(.1))\n"
    )
    with Stopwatch() as watch:
        run(script)
        run(script + "loop.close()\n")
    assert watch.seconds < 5


def test_aio_is_imported_by_its_users_only() -> None:
    out = run("import sys, glowplug\nassert 'asyncio' not in sys.modules\nfrom glowplug import aio\nprint('asyncio' in sys.modules)")
    assert out == "True\n"
