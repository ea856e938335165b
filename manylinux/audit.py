"""Audits built wheels and fails on the first promise that one breaks: `audit.py WHEEL...` (`make audit`).

auditwheel judges the platform tag and abi3audit the stable ABI; the rest is what neither knows of glowplug.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

import toolchain

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = "glowplug/_native.abi3.so"
LIBRARIES = {"libc.so.6", "libpthread.so.0", "libdl.so.2", "libresolv.so.2"}
GLIBC = (2, 17)
MEGABYTE = 1_000_000
WHEEL_LIMIT, UNPACKED_LIMIT = 4.2 * MEGABYTE, 11 * MEGABYTE
WHEEL_AIM, UNPACKED_AIM = 3.8 * MEGABYTE, 10.4 * MEGABYTE

# The string that only code under the build tag glowplug_faults holds (gomod/internal/bridge).
FAULT_MARKER = b"glowplug-fault-hook"


def files(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """The wheel holds the package's sources, the library, its stub and the metadata: nothing generated, nothing else."""
    name, version = wheel.name.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    sources = {str(file.relative_to(ROOT / "python")) for file in (ROOT / "python/glowplug").rglob("*") if file.suffix in (".py", ".pyi")}
    metadata = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
    expected = sources | {LIBRARY, "glowplug/_native.pyi", "glowplug/py.typed"} | {f"{info}/{file}" for file in metadata}
    for file in sorted(expected ^ set(archive.namelist())):
        yield f"{'missing' if file in expected else 'unexpected'} file {file}"


def versions(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """The file name, the metadata and the package tell one version."""
    version = wheel.name.split("-")[1]
    package = re.search(r'__version__ = "(.+)"', archive.read("glowplug/_version.py").decode())[1]
    metadata = archive.read(f"glowplug-{version}.dist-info/METADATA").decode()
    if version.split("+")[0] != package or f"\nVersion: {version}\n" not in metadata:
        yield f"versions differ: file name {version}, package {package}"


def sizes(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """A Lambda pays for each byte: the wheel and what it unpacks to stay under their limits."""
    packed, unpacked = wheel.stat().st_size, sum(entry.file_size for entry in archive.infolist())
    library = archive.read(LIBRARY)
    print(f"  wheel    {packed / MEGABYTE:6.2f} MB (limit {WHEEL_LIMIT / MEGABYTE}, aim {WHEEL_AIM / MEGABYTE})")
    print(f"  unpacked {unpacked / MEGABYTE:6.2f} MB (limit {UNPACKED_LIMIT / MEGABYTE}, aim {UNPACKED_AIM / MEGABYTE})")
    print(f"  library  {len(library) / MEGABYTE:6.2f} MB, gzip {len(gzip.compress(library)) / MEGABYTE:.2f} MB")
    if packed > WHEEL_LIMIT or unpacked > UNPACKED_LIMIT:
        yield "larger than the limit"


def linkage(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """The library needs glibc and nothing else, carries no search path, and exports only Python's entry point."""
    elf = ELFFile(BytesIO(archive.read(LIBRARY)))
    dynamic = [tag for section in elf.iter_sections() if isinstance(section, DynamicSection) for tag in section.iter_tags()]
    for tag in dynamic:
        if tag.entry.d_tag == "DT_NEEDED" and tag.needed not in LIBRARIES:
            yield f"needs {tag.needed}"
        if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
            yield f"carries {tag.entry.d_tag}"
    symbols = elf.get_section_by_name(".dynsym").iter_symbols()
    exported = {symbol.name for symbol in symbols if symbol.entry.st_shndx != "SHN_UNDEF"}
    if exported != {"PyInit__native"}:
        yield f"exports {', '.join(sorted(exported))}"
    if elf.get_section_by_name(".symtab"):
        yield "is not stripped"


def glibc(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """A manylinux wheel asks for no symbol of glibc that is newer than 2.17."""
    elf = ELFFile(BytesIO(archive.read(LIBRARY)))
    needed = {
        version.name
        for section in elf.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, auxiliaries in section.iter_versions()
        for version in auxiliaries
    }
    newest = max(tuple(map(int, re.findall(r"\d+", name)[:2])) for name in needed)
    print(f"  newest glibc symbol {newest[0]}.{newest[1]}")
    if "manylinux" in wheel.name and newest > GLIBC:
        yield f"needs glibc {newest[0]}.{newest[1]}"


def paths(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """No byte tells where the wheel was built: paths differ between machines, so builds would."""
    library = archive.read(LIBRARY)
    command = [toolchain.find_go(), "env", "GOPATH", "GOROOT", "GOCACHE"]
    of_go = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for path in {str(ROOT), os.path.expanduser("~"), tempfile.gettempdir(), sys.prefix, *of_go} - {"", "/"}:
        # A slash after it: "/root" is also the start of words that belong to the program.
        if (path.rstrip("/") + "/").encode() in library:
            yield f"holds the build path {path}"


def faults(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """The hooks that let tests force a panic are in the wheel that says so, and in no other."""
    marked, named = FAULT_MARKER in archive.read(LIBRARY), "+faults" in wheel.name
    if marked != named:
        yield "holds the tests' fault hooks" if marked else "is named +faults and holds no fault hook"


def platform_tag(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """auditwheel agrees that the wheel runs where its tag says."""
    if "manylinux" not in wheel.name:
        return
    shown = subprocess.run([sys.executable, "-m", "auditwheel", "show", wheel], capture_output=True, text=True)
    tag = re.search(r'platform tag:\s+"manylinux_(\d+)_(\d+)_', shown.stdout)
    if not tag or tuple(map(int, tag.groups())) > GLIBC:
        yield f"auditwheel disagrees with the tag: {shown.stdout}{shown.stderr}"


def stable_abi(wheel: Path, archive: ZipFile) -> Iterator[str]:
    """abi3audit finds no symbol outside the stable ABI of CPython 3.10."""
    command = [sys.executable, "-m", "abi3audit", "--strict", "--report", wheel]
    report = subprocess.run(command, capture_output=True, text=True)
    if report.returncode or not json.loads(report.stdout)["specs"]:
        yield f"abi3audit: {report.stdout}{report.stderr}"


AUDITS = (files, versions, sizes, linkage, glibc, paths, faults, platform_tag, stable_abi)


def main(wheels: list[str]) -> int:
    """Audit each wheel, print what was found, and return 1 if any wheel broke a promise."""
    broken = 0
    for wheel in map(Path, wheels):
        print(wheel.name)
        with ZipFile(wheel) as archive:
            for audit in AUDITS:
                for complaint in audit(wheel, archive):
                    broken += 1
                    print(f"  {audit.__name__}: {complaint}")
    print(f"audited {len(wheels)} wheel(s): {broken or 'no'} broken promise(s)")
    return 1 if broken or not wheels else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
