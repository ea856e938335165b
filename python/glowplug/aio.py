"""The S3 client for asyncio: the methods of :class:`glowplug.S3` as coroutines.

>>> from glowplug import aio
>>> async with aio.S3() as s3:
...     buckets = await s3.list_buckets()

No thread waits for an answer: Go tells the event loop through one descriptor that
answers are there. Works on asyncio, uvloop and anyio's asyncio back end.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import os
from time import monotonic
from weakref import WeakValueDictionary

from . import _runtime, errors
from ._runtime import UNIT
from ._s3 import DEFAULT_RESERVE, S3 as _S3
from ._s3 import Bucket, BucketList, Stats, _listed, _names, _page, _query, _regions, _timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from types import TracebackType
    from typing import Any, Literal

    from typing_extensions import Self

    from ._s3 import LambdaContext

__all__ = ["S3"]

# By the id of the loop. Nothing else outside of the calls holds a hub, so those of a loop that was left in their midst can be collected.
_hubs: WeakValueDictionary[int, _Hub] = WeakValueDictionary()


class _Hub:
    """One event loop's descriptor, open while calls of that loop are under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self.users = 0
        self.owner = _runtime.process()
        self._native = _runtime.native()
        self._read, write = os.pipe()
        try:
            os.set_blocking(self._read, False)
            os.set_blocking(write, False)
            self.notifier: str = self._native.pybind_Notify(f"open{UNIT}{write}")
        except BaseException:
            os.close(self._read)
            raise
        finally:
            os.close(write)
        try:
            loop.add_reader(self._read, self._wake)
        except BaseException:
            self._close()
            raise

    def _wake(self) -> None:
        if self.owner != _runtime.process():
            # A child that goes on with its parent's loop: its calls end with ForkError, and the parent's byte stays.
            for future in tuple(self.waiting.values()):
                _resume(future)
            return
        try:
            os.read(self._read, 4096)
        except BlockingIOError:
            pass
        for call in self._native.pybind_Notify(f"take{UNIT}{self.notifier}").split(UNIT):
            waiting = self.waiting.pop(int(call), None) if call else None
            if waiting is not None:
                _resume(waiting)

    def __enter__(self) -> _Hub:
        self.users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.users -= 1
        if self.users:
            return
        if _hubs.get(id(self.loop)) is self:
            del _hubs[id(self.loop)]
        # A forked child shares its parent's selector: to unregister there would be to unregister for the parent.
        if self.owner == _runtime.process() and not self.loop.is_closed():
            self.loop.remove_reader(self._read)
        self._close()

    def _close(self) -> None:
        # First the writer: there is never a write without a reader.
        if self.owner == _runtime.process():
            self._native.pybind_Notify(f"close{UNIT}{self.notifier}")
        os.close(self._read)


def _hub() -> _Hub:
    """Return the running loop's hub."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(id(loop))
    if hub is None or hub.owner != _runtime.process():
        hub = _hubs[id(loop)] = _Hub(loop)
    return hub


async def _take(hub: _Hub, call: _runtime.Call) -> str:
    """Wait for the next part of a call without holding the loop."""
    while True:
        # Registered first: the answer may come while poll returns.
        future = hub.waiting[call.id] = hub.loop.create_future()
        guard = None
        try:
            answer = call.poll()
            if answer is not None:
                return answer
            if call.deadline != float("inf"):
                guard = hub.loop.call_later(max(0.0, call.deadline - monotonic()) + 2 * _runtime.GRACE_S, _resume, future)
            await future
        finally:
            hub.waiting.pop(call.id, None)
            if guard is not None:
                guard.cancel()


def _resume(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class S3:
    """A client for one account's buckets, for asyncio.

    Takes the options of :class:`glowplug.S3`, and its methods are the same as
    coroutines, with the same arguments, results and errors. Cancelling the task
    cancels the call in Go. One client serves several loops and threads.
    """

    __slots__ = ("_s3",)

    def __init__(self, **options: Any) -> None:
        self._s3 = _S3(**options)

    async def _run(self, verb: str, options: str, deadline: float) -> tuple[str, str]:
        client = self._s3._open(deadline)
        with _hub() as hub:
            call = _runtime.Call(client, verb, options + _timeout(deadline), deadline, hub.notifier)
            try:
                return await _take(hub, call), call.stats
            finally:
                call.close()

    async def wait_ready(self, timeout: float | None = None) -> bool:
        """Connect, if that has not happened, and wait for it; see :meth:`glowplug.S3.wait_ready`."""
        return (await self._run("ready", "", self._s3._deadline(timeout, None, 0)))[0] == "D1"

    async def list_buckets(
        self,
        *,
        prefix: str | None = None,
        region: str | None = None,
        limit: int | None = None,
        timeout: float | None = None,
        context: LambdaContext | None = None,
        reserve: float = DEFAULT_RESERVE,
        on_error: Literal["collect", "raise"] = "collect",
    ) -> BucketList:
        """List the account's buckets with their regions; see :meth:`glowplug.S3.list_buckets`."""
        options = _query(prefix, region, limit, on_error)
        return _listed(*await self._run("list", options, self._s3._deadline(timeout, context, reserve)), on_error)

    def iter_buckets(
        self,
        *,
        prefix: str | None = None,
        region: str | None = None,
        limit: int | None = None,
        timeout: float | None = None,
        context: LambdaContext | None = None,
        reserve: float = DEFAULT_RESERVE,
        on_error: Literal["collect", "raise"] = "collect",
    ) -> AsyncIterator[Bucket]:
        """Yield the buckets while their pages arrive; see :meth:`glowplug.S3.iter_buckets`.

        Leaving the loop early leaves the call under way until the iterator is
        closed or collected: use ``contextlib.aclosing`` to end it at once.
        """
        options = _query(prefix, region, limit, on_error)
        bounded = timeout is not None or context is not None
        deadline = self._s3._deadline(timeout, context, reserve)
        return self._walk(options, deadline if bounded else None, on_error)

    async def _walk(self, options: str, deadline: float | None, on_error: str) -> AsyncIterator[Bucket]:
        with _hub() as hub:
            call = self._s3._pages(options, deadline, hub.notifier)
            try:
                while True:
                    page = await _take(hub, call)
                    if call.done:
                        return
                    for bucket in _page(page, on_error):
                        yield bucket
            finally:
                call.close()

    async def bucket_region(self, name: str, *, timeout: float | None = None, context: LambdaContext | None = None, reserve: float = DEFAULT_RESERVE) -> str:
        """Return the region of one bucket; see :meth:`glowplug.S3.bucket_region`."""
        region = (await self.bucket_regions([name], timeout=timeout, context=context, reserve=reserve))[name]
        if isinstance(region, errors.GlowplugError):
            raise region
        return region

    async def bucket_regions(
        self,
        names: Iterable[str],
        *,
        timeout: float | None = None,
        context: LambdaContext | None = None,
        reserve: float = DEFAULT_RESERVE,
        on_error: Literal["collect", "raise"] = "collect",
    ) -> dict[str, str | errors.GlowplugError]:
        """Return the region of each name; see :meth:`glowplug.S3.bucket_regions`."""
        wanted = _names(names, on_error)
        deadline = self._s3._deadline(timeout, context, reserve)
        if not wanted:
            return {}
        answer, _ = await self._run("regions", "".join(f"{UNIT}name={name}" for name in wanted), deadline)
        return _regions(wanted, answer, on_error)

    @property
    def stats(self) -> Stats:
        """What all ended calls of this client did; see :attr:`glowplug.S3.stats`."""
        return self._s3.stats

    def close(self) -> None:
        """Cancel the calls under way and close the connections. May be called again."""
        self._s3.close()

    async def aclose(self) -> None:
        """Do what :meth:`close` does."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"aio.{self._s3!r}"
