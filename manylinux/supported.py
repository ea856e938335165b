"""Says in one sentence why glowplug cannot be built here, before anything is downloaded or compiled.

This file also has to parse on the Pythons that it refuses, so it uses no syntax newer than Python 3.6.
"""

import os
import sys
import sysconfig


def reason():
    """Return the sentence that refuses this interpreter or platform, or None where glowplug can be built."""
    if sys.version_info < (3, 10):
        return "glowplug needs Python 3.10 or newer, and this is Python {}.{}.".format(*sys.version_info[:2])
    if sys.implementation.name != "cpython":
        return "glowplug needs CPython, and this is {}: its native module uses CPython's stable ABI.".format(
            sys.implementation.name
        )
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "glowplug does not support free-threaded Python, which cannot load stable-ABI modules: use the ordinary build of Python."
    if os.name == "nt":
        return "glowplug does not support Windows: use Linux, WSL or a Linux container."
    if any("musl" in str(sysconfig.get_config_var(name)) for name in ("HOST_GNU_TYPE", "SOABI", "MULTIARCH")):
        return (
            "glowplug does not support musl (Alpine): Go's runtime cannot be loaded into a process there, "
            "so use an image with glibc, such as python:3-slim."
        )
    return None


def refuse():
    """End the process with the sentence of reason(), if there is one."""
    sentence = reason()
    if sentence:
        raise SystemExit(sentence)
