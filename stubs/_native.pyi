"""The Go side: six functions that take one string and return one string.

Loading this module starts Go's runtime, which does not survive a fork: ``glowplug._runtime`` is the only importer.

In every function:

* the request holds no NUL, which would cut it short, and no lone surrogate, which raises UnicodeEncodeError;
  anything but a str raises TypeError;
* fields are joined by the unit separator U+001F; ids are decimal numbers, an unknown one is an error and never a crash;
* an error is a RuntimeError whose text is a JSON object: kind, code, message, status, request id, operation, bucket, retryable.
  A panic in Go is such an error too;
* the interpreter lock is released while Go works, and signals are handled only after the return.
"""

def pybind_Open(request: str) -> str:
    """Make a client from options (``name=value``) and environment (``$NAME=value``); return its id."""

def pybind_Close(request: str) -> str:
    """End the client with this id: its calls are cancelled, its connections closed. An id already closed is no error."""

def pybind_Start(request: str) -> str:
    """Begin a call: client id, call id (the caller's choice), milliseconds to wait, verb, options.

    The answer's first character tells its state: P, not yet, ask pybind_Wait; M, a part, more follows; D, the end.
    """

def pybind_Wait(request: str) -> str:
    """Wait for more of a call's answer: call id, milliseconds. The answer is as pybind_Start's."""

def pybind_Cancel(request: str) -> str:
    """End the call with this id and forget it. A call that is over is no error."""

def pybind_Info(request: str) -> str:
    """Return glowplug's version, Go's version, and how many clients, calls and goroutines there are; with a client's id, its counts."""

def pybind_Notify(request: str) -> str:
    """Serve an event loop: "open" and a descriptor, "take" and the id that was answered, "close" and the id."""
