"""Builds glowplug/_native.abi3.so: gopy gen, trim, cgo header, pybindgen, go build -buildmode=c-shared.

Each step is a function whose docstring says what it guards. setup.py calls build().
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import toolchain

HERE = Path(__file__).resolve().parent
PYBIND = "github.com/glowplug/glowplug/gomod/pybind"
VERSION = "github.com/glowplug/glowplug/gomod/internal/version.Version"

# netgo, osusergo: no call into glibc's resolver or NSS. nethttpomithttp2: S3 speaks HTTP/1.1 only.
TAGS = ("netgo", "osusergo", "nethttpomithttp2")


def build(root: Path, work: Path, target: Path, version: str, extra_tags: list[str]) -> None:
    """Build the native module from the sources under `root` into the file `target`, with `work` for what is between."""
    machine = os.environ.get("GLOWPLUG_ARCH") or platform.machine()
    environment = go_environment(work, machine)
    module = copy_sources(root, work)
    gopy = build_gopy(module, work, environment)
    native = generate(gopy, module, environment)
    trim_go(native / "native.go")
    trim_python(native / "build.py")
    shutil.copy(HERE / "abi3.h", native)
    write_c(native, environment)
    link(module, target, version, [*TAGS, *extra_tags], environment)


def go_environment(work: Path, machine: str) -> dict[str, str]:
    """Return the environment of every go command: no setting of the builder's own reaches the result."""
    if machine not in toolchain.GOARCH:
        raise SystemExit(f"glowplug is built for x86_64 and aarch64, not for {machine}.")
    go = toolchain.find_go()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CGO_", "GOEXPERIMENT"))}
    environment |= {
        "PATH": os.pathsep.join([str(go.parent), environment.get("PATH", os.defpath)]),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath",
        "GOOS": sys.platform,
        "GOARCH": toolchain.GOARCH[machine],
        "GOAMD64": "v1",
        "GOARM64": "v8.0",
        "CC": shlex.join(toolchain.find_c_compiler(machine)),
        "CGO_ENABLED": "1",
        "CGO_CFLAGS": "-O2 -w",
    }
    return environment


def link_flags() -> list[str]:
    """Return the linker's flags: Python's own symbols come from the process that loads the module."""
    if sys.platform == "darwin":
        return ["-Wl,-undefined,dynamic_lookup"]
    # Go's own -s does not reach the sections that zig's C objects bring along.
    return ["-Wl,-s", f"-Wl,--version-script={HERE / 'exports.map'}"]


def copy_sources(root: Path, work: Path) -> Path:
    """Copy the Go modules and return the copy of pybind: generated code has to lie inside the module, not in the checkout."""
    copy = work / "gomod"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root / "gomod", copy, ignore=shutil.ignore_patterns("*_test.go", "testdata"))
    return copy / "pybind"


def build_gopy(module: Path, work: Path, environment: dict[str, str]) -> Path:
    """Build the gopy that pybind/go.mod pins, for the machine that builds."""
    gopy = work / "gopy"
    host = {**environment, "CGO_ENABLED": "0", "GOARCH": toolchain.GOARCH[platform.machine()]}
    run(["go", "build", "-o", gopy, "github.com/go-python/gopy"], module, host)
    return gopy


def generate(gopy: Path, module: Path, environment: dict[str, str]) -> Path:
    """Run `gopy gen` over pybind and return the folder that it wrote."""
    native = module / "native"
    # -n: gopy builds the package only to see that it compiles, for half a minute, which link() does anyway.
    quick = {**environment, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -n"}
    options = ["-name=native", f"-vm={sys.executable}", "-no-warn", "-no-make", "-dynamic-link=true"]
    run([gopy, "gen", f"-output={native}", *options, PYBIND], module, quick)
    return native


def trim_go(file: Path) -> None:
    """Keep of the generated Go only the functions of pybind, in one order, and refuse any that is not string -> string.

    gopy adds some 380 exports for slices and handles, each a way to crash the interpreter with a stale number, and
    writes functions in the order of a map: two builds would differ.
    """
    text = file.read_text()
    preamble = re.search(r"^/\*\n\n#cgo .*?^\*/\nimport \"C\"\n", text, re.S | re.M)
    functions = re.findall(r"^//export (pybind_\w+)\n(func (\w+)\((.*?)\) (.*?) \{\n.*?^\}\n)", text, re.S | re.M)
    if not preamble or not functions:
        raise SystemExit("gopy's output has another form than manylinux/build_native.py knows: has its version changed?")
    for name, _, function, parameters, result in functions:
        if (function, parameters, result) != (name, "request *C.char", "*C.char"):
            raise SystemExit(f"{name}: only func(request string) (string, error) may cross into Python.")
    lines = [line for line in preamble[0].splitlines() if not line.startswith("#cgo ")]
    head = "\n".join(lines).replace("#include <Python.h>", '#include "abi3.h"')
    kept = "\n".join(f"//export {name}\n{body}" for name, body, *_ in sorted(functions))
    imports = f'import (\n\t"unsafe"\n\n\t"{PYBIND}"\n)'
    file.write_text(f"package main\n\n{head}\n\n{imports}\n\nfunc main() {{}}\n\n{kept}")


def trim_python(file: Path) -> None:
    """Keep of gopy's script for pybindgen the functions that trim_go keeps, in the same order."""
    lines = file.read_text().splitlines()
    added = re.compile(r"(mod\.add_function|add_checked(_string)?_function)\(")
    functions = [line for line in lines if added.match(line)]
    ours = sorted(line for line in functions if ", 'pybind_" in line)
    first = lines.index(functions[0])
    rest = [line for line in lines[first:] if not added.match(line)]
    file.write_text("\n".join([*lines[:first], *ours, *rest]) + "\n")


def write_c(native: Path, environment: dict[str, str]) -> None:
    """Write the header of the Go functions and the C wrappers that Python calls, on the stable ABI's own header."""
    header = ["-exportheader", "native_go.h", "-objdir", native.parent / "cgo", "--", "-w", "-I", native]
    run(["go", "tool", "cgo", *header, "native.go"], native, environment)
    run([sys.executable, "build.py"], native, environment)
    wrappers = native / "native.c"
    wrappers.write_text(wrappers.read_text().replace("#include <Python.h>", '#include "abi3.h"'))


def link(module: Path, target: Path, version: str, tags: list[str], environment: dict[str, str]) -> None:
    """Compile and link: no path, time, VCS state or build id of this machine goes into the file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Double quotes outside: shlex puts single ones around a path with a space, and go does not nest one kind.
    # Functions without padding: 0.15 MB less, and no slower in the benchmarks of listxml and transport.
    flags = f'-s -w -funcalign=1 -buildid= -X {VERSION}={version} "-extldflags={shlex.join(link_flags())}"'
    options = ["-buildmode=c-shared", f"-tags={','.join(tags)}", f"-ldflags={flags}"]
    run(["go", "build", *options, "-o", target.resolve(), "./native"], module, environment)
    target.with_suffix(".h").unlink(missing_ok=True)


def run(command: list[str | Path], folder: Path, environment: dict[str, str]) -> None:
    """Run a step; its output is shown only where it fails, then the build ends with the command's own words."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nglowplug: this step failed: {shlex.join(map(str, command))}")
