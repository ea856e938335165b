"""A small HTTP/1.1 server: one thread, loopback only, answers to order late or not at all."""

from __future__ import annotations

import _socket  # what pytest-socket and its like put in the place of socket.socket can't accept
import contextlib
import heapq
import os
import selectors
import threading
import traceback
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from itertools import count
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024
CHUNK = 256 * 1024


@dataclass(frozen=True)
class Received:
    """A request. Header names are in lower case; several of one name are in their order."""

    method: str
    target: str
    headers: dict[str, list[str]]

    def header(self, name: str) -> str:
        return self.headers.get(name, [""])[0]


@dataclass
class Reply:
    """An answer, to be sent after ``delay`` seconds; with ``drop`` the connection is closed instead."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytes = b""
    delay: float = 0.0
    drop: bool = False


class _Malformed(Exception):
    """The status says why; the connection ends with it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Connection:
    """What one client sent and is to get."""

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.to_send = bytearray()
        self.waits = False  # for a delayed answer: what else came stays unread
        self.ends = False  # once everything is sent: no further request is read
        self.continued = False  # whether the request under way got its 100


class Server:
    """Answers each request with what ``answer`` makes of it, from a thread of its own.

    Use as a context manager, or call :meth:`close`: after it no thread and no socket is left.
    """

    def __init__(self, answer: Callable[[Received], Reply]) -> None:
        self._answer = answer
        self._owner = os.getpid()
        self._connections: dict[_socket.socket, _Connection] = {}
        self._later: list[tuple[float, int, _Connection, Received, Reply]] = []
        self._number = count().__next__
        self._closing = False
        with contextlib.ExitStack() as opened:
            self._listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            opened.callback(self._listener.close)
            self._listener.bind(("127.0.0.1", 0))
            self._listener.listen(1024)
            self._listener.setblocking(False)
            # Not in typeshed; socket.socket.accept is made of it.
            self._accept_from_listener: Callable[[], tuple[int, object]] = getattr(self._listener, "_accept")
            self._woken, self._waker = os.pipe()
            for fd in (self._woken, self._waker):
                opened.callback(os.close, fd)
            self._selector = opened.enter_context(selectors.DefaultSelector())
            for source in (self._listener, self._woken):
                self._selector.register(source, selectors.EVENT_READ)
            self.port: int = self._listener.getsockname()[1]
            self._thread = threading.Thread(target=self._run, name="glowplug-fakes3", daemon=True)
            self._thread.start()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """End the thread and close every socket. May be repeated; in a forked child it leaves the parent's alone."""
        if self._owner == os.getpid():
            self._closing = True
            if self._thread.is_alive():
                os.write(self._waker, b"x")
                self._thread.join()
        for sock in self._connections:
            sock.close()
        self._connections.clear()
        self._opened.close()

    def _run(self) -> None:
        while not self._closing:
            pause = max(0.0, self._later[0][0] - monotonic()) if self._later else None
            for key, events in self._selector.select(pause):
                if key.fileobj is self._listener:
                    self._accept()
                elif connection := self._connections.get(key.fileobj):  # type: ignore[call-overload]
                    self._serve(connection, events)
            while self._later and self._later[0][0] <= monotonic():
                _, _, connection, request, reply = heapq.heappop(self._later)
                if connection.sock in self._connections:
                    connection.waits = False
                    self._guarded(connection, partial(self._resume, connection, request, reply))

    def _accept(self) -> None:
        try:
            fd, _ = self._accept_from_listener()
        except OSError:
            return  # gone again, or no descriptor left
        sock = _socket.socket(fileno=fd)
        sock.setblocking(False)
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._connections[sock] = _Connection(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _serve(self, c: _Connection, events: int) -> None:
        def work() -> None:
            if events & selectors.EVENT_READ:
                got = c.sock.recv(CHUNK)
                if not got:
                    raise ConnectionResetError
                c.received += got
                self._read(c)
            elif c.to_send:
                self._send(c)

        self._guarded(c, work)

    def _guarded(self, c: _Connection, work: Callable[[], object]) -> None:
        """Let what goes wrong with a connection end that one only."""
        try:
            work()
        except BlockingIOError:
            pass
        except _Malformed as e:
            c.ends = True
            self._put(c, e.status, [("Content-Length", "0")], b"")
        except OSError:
            self._end(c)
        except Exception:
            traceback.print_exc()
            self._end(c)

    def _read(self, c: _Connection) -> None:
        """Answer the whole requests among what came."""
        while not (c.waits or c.ends) and (request := self._request(c)):
            reply = self._answer(request)
            if reply.delay > 0:
                c.waits = True
                heapq.heappush(self._later, (monotonic() + reply.delay, self._number(), c, request, reply))
            else:
                self._reply(c, request, reply)

    def _resume(self, c: _Connection, request: Received, reply: Reply) -> None:
        self._reply(c, request, reply)
        self._read(c)

    def _request(self, c: _Connection) -> Received | None:
        end = c.received.find(b"\r\n\r\n")
        if end < 0:
            if len(c.received) > MAX_HEAD:
                raise _Malformed(431)
            return None
        request, version = _parse(bytes(c.received[:end]))
        length = request.header("content-length") or "0"
        if "transfer-encoding" in request.headers:
            raise _Malformed(501)
        if not length.isdecimal():
            raise _Malformed(400)
        if int(length) > MAX_BODY:
            raise _Malformed(413)
        whole = end + 4 + int(length)
        if len(c.received) < whole:
            if request.header("expect").lower() == "100-continue" and not c.continued:
                c.continued = True
                c.to_send += b"HTTP/1.1 100 Continue\r\n\r\n"
                self._send(c)
            return None
        del c.received[:whole]
        c.continued = False
        c.ends = version == "HTTP/1.0" or request.header("connection").lower() == "close"
        return request

    def _reply(self, c: _Connection, request: Received, reply: Reply) -> None:
        if reply.drop:
            self._end(c)
            return
        headers = reply.headers
        if request.method != "HEAD":
            headers = [*headers, ("Content-Length", str(len(reply.body)))]
        self._put(c, reply.status, headers, b"" if request.method == "HEAD" else reply.body)

    def _put(self, c: _Connection, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Date: {formatdate(usegmt=True)}", *(f"{k}: {v}" for k, v in headers)]
        if c.ends:
            lines.append("Connection: close")
        c.to_send += "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
        self._send(c)

    def _send(self, c: _Connection) -> None:
        try:
            while c.to_send:
                del c.to_send[: c.sock.send(c.to_send[:CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            self._end(c)
            return
        if c.ends and not c.to_send:
            self._end(c)
            return
        self._selector.modify(c.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if c.to_send else 0))

    def _end(self, c: _Connection) -> None:
        c.ends = True
        if self._connections.pop(c.sock, None):
            self._selector.unregister(c.sock)
            c.sock.close()


def _parse(head: bytes) -> tuple[Received, str]:
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
    except ValueError:
        raise _Malformed(400) from None
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise _Malformed(505)
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise _Malformed(400)
        headers.setdefault(name.lower(), []).append(value.strip())
    return Received(method, target, headers), version
