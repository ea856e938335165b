"""The native library: loaded on first use, and anew in a forked child.

Go does not survive ``fork``: a child of a process that has loaded the library
would hang in its first call. So the process id is compared on every way in, and
such a child loads a fresh copy, with a Go of its own, and never enters the old.
"""

from __future__ import annotations

import _thread
import os
import sys
from itertools import count
from time import monotonic, sleep

from . import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Ctrl-C and other signals wait for a native call to return, so none lasts longer.
SLICE_MS = 40

# Python has no say in when Go notices a deadline: this much later it gives up by itself.
GRACE_S = 0.1

UNIT = "\x1f"
RECORD = "\x1e"

_forks = 0  # that lie between this process and the one that imported this module
_native: ModuleType | None = None  # of this process or, until native() is called, of its parent
_owner: tuple[int, int] | None = None  # the process that _native belongs to, or is being loaded for
_generation = 0  # how many copies were loaded, by this process and its ancestors
lock = _thread.RLock()  # held across a fork: what it guards is whole in the child
# Sub-interpreters share one Go, and its ids of calls: each begins at an address of its own.
_next_call = count(id(lock) << 16).__next__
_under_way: set[int] = set()  # calls inside of Go, and threads that may be
_waits_at_exit = False
_ended = False


def process() -> tuple[int, int]:
    """Return what tells this process from its ancestors, of which one may have had the same process id.

    The id alone notices a fork that ran none of Python's hooks, the count one that met an old id anew.
    """
    return os.getpid(), _forks


def is_dead() -> bool:
    """Tell whether what is loaded belongs to a parent process: nothing of it may be called."""
    return _owner is not None and _owner != process()


def native() -> ModuleType:
    """Return the native module of this process, loading it on first use.

    Raises:
        errors.ForkError: in a child of a process that had loaded it, where a fresh copy can't be loaded.
        errors.UnsupportedError: this interpreter can't load it.
    """
    if _owner == process() and _native is not None:
        return _native
    return _load()


def _load() -> ModuleType:
    global _native, _owner
    with lock:
        if is_dead():
            _native, _owner = _load_copy(), process()
        elif _native is None:
            wait_at_exit()
            # Ahead of the load: a signal's handler may fork in the midst of it.
            _owner = process()
            try:
                from . import _native as module
            except ImportError as e:
                _owner = None
                raise errors.UnsupportedError(
                    f"the native library can't be loaded ({e}): glowplug needs CPython 3.10 or later on glibc, in the main interpreter",
                    code="LibraryNotLoaded",
                ) from e
            _native = module
        assert _native is not None
        return _native


def _load_copy() -> ModuleType:
    """Load the library once more, with a Go runtime of its own.

    The dynamic linker and Python both know a library by its path and its inode:
    the copy has others, and each generation of forks a path that none had before.
    """
    global _generation
    from _imp import create_dynamic, exec_dynamic
    from importlib.machinery import ExtensionFileLoader, ModuleSpec

    _generation += 1
    package = __name__.rpartition(".")[0]
    name = f"{package}._native"
    source = os.path.join(os.path.dirname(__file__), "_native.abi3.so")
    failures: list[str] = []
    for make in (_copy_in_memory, _copy_on_disk):
        try:
            fd, path = make(source)
        except (OSError, AttributeError) as e:
            failures.append(str(e))
            continue
        try:
            spec = ModuleSpec(name, ExtensionFileLoader(name, path), origin=path)
            module = create_dynamic(spec)
            exec_dynamic(module)
            sys.modules[name] = module
            setattr(sys.modules[package], "_native", module)
            return module
        except ImportError as e:
            failures.append(str(e))
        finally:
            os.close(fd)
            if make is _copy_on_disk:
                os.unlink(path)
    raise errors.ForkError(
        f"this process was forked after glowplug had started, and a fresh copy of its library can't be loaded ({'; '.join(failures)}); "
        "make glowplug.S3() in the child only, or start children with spawn",
        code="ForkedAfterStart",
    )


_EXECUTABLE = 0x10  # MFD_EXEC, which kernels before 6.3 do not know


def _copy_in_memory(source: str) -> tuple[int, str]:
    try:
        fd = os.memfd_create("glowplug", os.MFD_CLOEXEC | _EXECUTABLE)
    except OSError:
        fd = os.memfd_create("glowplug")
    try:
        _fill(fd, source)
    except BaseException:
        os.close(fd)
        raise
    return fd, f"/proc/self/{'./' * _generation}fd/{fd}"


def _copy_on_disk(source: str) -> tuple[int, str]:
    from tempfile import mkstemp

    fd, path = mkstemp(prefix="glowplug-", suffix=".so")
    try:
        _fill(fd, source)
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd, path


def _fill(fd: int, source: str) -> None:
    with open(source, "rb") as f:
        size, done = os.fstat(f.fileno()).st_size, 0
        while done < size:
            sent = os.sendfile(fd, f.fileno(), done, size - done)
            if not sent:
                raise OSError(f"{source} was cut short while it was copied")
            done += sent


def _after_fork() -> None:
    global _forks, lock
    _forks += 1
    _under_way.clear()
    # Not released but made anew: a fork in C, as uWSGI's, may run this hook without that before it.
    lock = _thread.RLock()


# A fork waits for a load that is under way in another thread: half a library is no use to the child.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: lock.acquire(), after_in_parent=lambda: lock.release(), after_in_child=_after_fork)


def wait_at_exit() -> None:
    """Let the end of the interpreter wait, a second at most, for threads that are inside of Go."""
    global _waits_at_exit
    if not _waits_at_exit:
        import atexit

        atexit.register(_at_exit)
        _waits_at_exit = True


def in_background(work: Callable[[], object]) -> None:
    """Run ``work`` in a thread of its own, or not at all where there is none to be had."""
    wait_at_exit()
    token = _next_call()

    def run() -> None:
        try:
            work()
        finally:
            _under_way.discard(token)

    _under_way.add(token)
    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:
        _under_way.discard(token)  # as while the interpreter shuts down


def _at_exit() -> None:
    # A daemon thread that came back from Go into an interpreter being torn down would end the process badly.
    global _ended
    _ended = True
    if is_dead():
        return
    give_up = monotonic() + 1
    while _under_way and monotonic() < give_up:
        # Each time anew: a thread may have passed its look at _ended before.
        for call in tuple(_under_way):
            if _native is not None:
                _native.pybind_Cancel(str(call))
        sleep(0.001)


def decode(error: RuntimeError) -> BaseException:
    """Return the typed exception for an error of the native module, else the error itself."""
    text = str(error)
    return errors.decode(text) if text.startswith('{"kind"') else error


def logs() -> bool:
    """Tell whether somebody listens to the logger ``glowplug`` at DEBUG. Nobody can without having imported logging."""
    logging = sys.modules.get("logging")
    return logging is not None and logging.getLogger("glowplug").isEnabledFor(10)


def _say(lines: list[str]) -> None:
    logger = sys.modules["logging"].getLogger("glowplug")
    for line in lines:
        logger.debug("%s", line)


class Call:
    """One operation under way in Go.

    ``take`` returns its parts, of which the last is the answer and sets ``done``.
    ``close`` cancels what is not at its end.
    """

    __slots__ = ("_logs", "_owner", "_request", "deadline", "done", "id", "stats")

    def __init__(self, client: int, verb: str, options: str, deadline: float, notifier: str = "") -> None:
        self.id = _next_call()
        self.done = False
        self.stats = ""
        self._owner = process()
        self.deadline = deadline
        self._logs = logs()
        if self._logs:
            options += f"{UNIT}log=1"
        if notifier:
            options += f"{UNIT}notify={notifier}"
        trace = os.environ.get("_X_AMZN_TRACE_ID")
        # What no header can carry would fail the call.
        if trace and trace.isascii() and trace.isprintable() and "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            options += f"{UNIT}trace={trace}"
        self._request: str | None = f"{client}{UNIT}{self.id}{UNIT}{0 if notifier else SLICE_MS}{UNIT}{verb}{options}"

    def _enter(self) -> ModuleType:
        if self._owner != process():
            self.done = True
            raise errors.ForkError("this call began before the process was forked: begin it again in the child", code="CallOfParent")
        if _ended:
            raise self._shut_down()
        return native()

    def _shut_down(self) -> errors.CancelledError:
        self.done = True
        return errors.CancelledError("the interpreter is shutting down", code="Shutdown")

    def take(self) -> str:
        """Wait for the next part, in slices between which Python handles signals.

        Raises:
            errors.GlowplugError: what the operation failed with.
        """
        answer = self.poll()
        while answer is None:
            answer = self.poll(SLICE_MS)
        return answer

    def poll(self, millis: int = 0) -> str | None:
        """Begin the call if it has not begun, else wait that long for its next part; None: not yet.

        Raises:
            errors.GlowplugError: as :meth:`take`.
        """
        module = self._enter()
        _under_way.add(self.id)
        try:
            request, self._request = self._request, None
            if request is not None:
                answer: str = module.pybind_Start(request)
            else:
                answer = module.pybind_Wait(f"{self.id}{UNIT}{millis}")
        except RuntimeError as e:
            if _ended:  # _at_exit cancelled the call, and Go has forgotten it
                raise self._shut_down() from None
            raise self._failed(e) from None
        finally:
            _under_way.discard(self.id)
        if answer == "P":
            self.check()
            return None
        if answer[0] == "D":
            self.done = True
            answer, self.stats, log = answer.rsplit(RECORD, 2)
            if log:
                _say(log.split(UNIT))
        return answer

    def check(self) -> None:
        """Raise TimeoutError where Go has not noticed the deadline."""
        if monotonic() > self.deadline + GRACE_S:
            raise errors.TimeoutError("the call's time-out passed before the answer was whole: call again, or raise timeout", code="DeadlineExceeded", retryable=True)

    def _failed(self, e: RuntimeError) -> BaseException:
        error = decode(e)
        if error is not e:
            # What is no error of ours comes from a signal's handler, and the call goes on.
            self.done = True
            if isinstance(error, errors.GlowplugError):
                self.stats = error._stats  # pyright: ignore[reportPrivateUsage]
                if self._logs:
                    # A server's words may hold line ends and escape sequences.
                    _say([*error._log, "failed: " + "".join(c if c.isprintable() else " " for c in str(error))])  # pyright: ignore[reportPrivateUsage]
        return error

    def close(self) -> None:
        """Cancel the call unless it has ended. Never raises."""
        if not self.done and self._owner == process() and not is_dead() and _native is not None:
            self.done = True
            _native.pybind_Cancel(str(self.id))


def call(client: int, verb: str, options: str, deadline: float) -> tuple[str, str]:
    """Run one operation to its end; return its answer and its counts."""
    operation = Call(client, verb, options, deadline)
    try:
        return operation.take(), operation.stats
    finally:
        operation.close()
