"""The build: pyproject.toml describes the package, manylinux/ holds the pipeline, this file joins them to setuptools."""

import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "manylinux"))

import supported  # noqa: E402

supported.refuse()

import build_native  # noqa: E402
import toolchain  # noqa: E402
from setuptools import Extension, setup  # noqa: E402
from setuptools.command.bdist_wheel import bdist_wheel  # noqa: E402
from setuptools.command.build_ext import build_ext  # noqa: E402

VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "python/glowplug/_version.py").read_text(), re.M)[1]
# A wheel's timestamps are zip's earliest unless the caller says otherwise: two builds give the same bytes.
os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800")

EXTRA_TAGS = os.environ.get("GLOWPLUG_GO_TAGS", "").replace(",", " ").split()


def distribution_version() -> str:
    """Return the version, with the extra build tags as local part: such a wheel is never taken for a release."""
    local = ".".join(re.sub(r"[^a-z0-9]+", ".", tag.removeprefix("glowplug_").lower()) for tag in EXTRA_TAGS)
    return f"{VERSION}+{local}" if local else VERSION


class BuildNative(build_ext):
    """Builds the extension with the pipeline and lays its stub beside it."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        build_native.build(ROOT, Path(self.build_temp).resolve(), target, VERSION, EXTRA_TAGS)
        shutil.copy(ROOT / "stubs/_native.pyi", target.parent)


class StableABIWheel(bdist_wheel):
    """Tags the wheel: one file for every CPython from 3.10 on, and manylinux2014 where zig linked it."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        if toolchain.for_manylinux():
            machine = os.environ.get("GLOWPLUG_ARCH") or platform.removeprefix("linux_")
            platform = f"manylinux_2_17_{machine}.manylinux2014_{machine}"
        return "cp310", "abi3", platform


setup(
    version=distribution_version(),
    ext_modules=[Extension("glowplug._native", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": StableABIWheel},
)
