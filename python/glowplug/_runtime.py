"""The native library: loaded on first use, never entered by a forked child.

Go does not survive ``fork``: a child of a process that has loaded the library
hangs in its first call. So the process id is compared on every way in.
"""

from __future__ import annotations

import _thread
import os
from itertools import count
from time import monotonic, sleep

from . import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

# Ctrl-C and other signals wait for a native call to return, so none lasts longer.
SLICE_MS = 40

# Python has no say in when Go notices a deadline: this much later it gives up by itself.
GRACE_S = 0.1

UNIT = "\x1f"
RECORD = "\x1e"

_native: ModuleType | None = None
_owner: int | None = None  # the process that began to load the library
_lock = _thread.allocate_lock()
# Go knows calls of all interpreters of this process by these numbers: each counts from somewhere else.
_next_call = count(int.from_bytes(os.urandom(6), "big")).__next__
_under_way: set[int] = set()
_ended = False


def loaded_by_parent() -> bool:
    """Tell whether the library in this process is a dead copy of the parent's."""
    return _owner is not None and _owner != os.getpid()


def native() -> ModuleType:
    """Return the native module, loading it on first use.

    Raises:
        errors.ForkError: the process is a child of one that had loaded it.
    """
    if loaded_by_parent():
        raise errors.ForkError(
            "this process was forked after glowplug had started; make glowplug.S3() in the child only, or start children with spawn",
            code="ForkedAfterStart",
        )
    return _native or _load()


def _load() -> ModuleType:
    global _native, _owner
    with _lock:
        if _native is None:
            _owner = os.getpid()
            from . import _native as module

            import atexit

            atexit.register(_at_exit)
            _native = module
        return _native


# A fork waits for a load that is under way: half a library is no use to the child.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _at_exit() -> None:
    # A daemon thread that came back from Go into an interpreter being torn down would end the process badly.
    global _ended
    _ended = True
    if _native is None or loaded_by_parent():
        return
    give_up = monotonic() + 1
    while _under_way and monotonic() < give_up:
        # Each time anew: a thread may have passed its look at _ended before.
        for call in tuple(_under_way):
            _native.pybind_Cancel(str(call))
        sleep(0.001)


def decode(error: RuntimeError) -> BaseException:
    """Return the typed exception for an error of the native module, else the error itself."""
    text = str(error)
    return errors.decode(text) if text.startswith('{"kind"') else error


class Call:
    """One operation under way in Go.

    ``take`` returns its parts, of which the last is the answer. ``close`` cancels
    what is not at its end.
    """

    __slots__ = ("_deadline", "_id", "_request", "done")

    def __init__(self, client: int, verb: str, options: str, deadline: float) -> None:
        self._id = _next_call()
        self._deadline = deadline
        self._request: str | None = f"{client}{UNIT}{self._id}{UNIT}{SLICE_MS}{UNIT}{verb}{options}"
        self.done = False

    def take(self) -> str:
        """Wait for the next part, in slices between which Python handles signals.

        Raises:
            errors.GlowplugError: what the operation failed with.
        """
        module = native()
        if _ended:
            raise self._shut_down()
        _under_way.add(self._id)
        try:
            request, self._request = self._request, None
            answer: str = module.pybind_Start(request) if request is not None else "P"
            while answer == "P":
                if monotonic() > self._deadline + GRACE_S:
                    raise errors.TimeoutError("the call's time-out passed before the answer was whole: call again, or raise timeout", code="DeadlineExceeded", retryable=True)
                answer = module.pybind_Wait(f"{self._id}{UNIT}{SLICE_MS}")
        except RuntimeError as e:
            if _ended:  # _at_exit cancelled the call, and Go has forgotten it
                raise self._shut_down() from None
            error = decode(e)
            self.done = error is not e and not isinstance(error, errors.TimeoutError)
            raise error from None
        finally:
            _under_way.discard(self._id)
        self.done = answer[0] == "D"
        return answer

    def _shut_down(self) -> errors.CancelledError:
        self.done = True
        return errors.CancelledError("the interpreter is shutting down", code="Shutdown")

    def close(self) -> None:
        """Cancel the call unless it has ended. Never raises."""
        if not self.done and not loaded_by_parent() and _native is not None:
            self.done = True
            _native.pybind_Cancel(str(self._id))


def call(client: int, verb: str, options: str, deadline: float) -> str:
    """Run one operation to its end and return its answer."""
    operation = Call(client, verb, options, deadline)
    try:
        return operation.take()
    finally:
        operation.close()
