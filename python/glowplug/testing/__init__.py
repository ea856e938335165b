"""Tests of code that uses glowplug, without an AWS account: a local S3 and a pytest plugin.

:class:`FakeS3` is S3's bucket listing on a loopback port of this process, faithful to
what S3 answers, with faults to order. The real native client talks to it, so that a
test covers what runs in production; boto3 can use it as well:

>>> import glowplug
>>> from glowplug.testing import FakeS3
>>> with FakeS3(buckets=[("logs", "eu-west-1"), ("web", "us-east-1")]) as fake:
...     with glowplug.S3(endpoint_url=fake.url, access_key_id="test", secret_access_key="test") as s3:
...         [(b.name, b.region) for b in s3.list_buckets()]
[('logs', 'eu-west-1'), ('web', 'us-east-1')]

Where pytest is installed, its plugin comes with glowplug and is found by itself (see
:mod:`glowplug.testing.plugin`): the fixture ``glowplug_s3`` is a :class:`FakeS3` that
the environment points to.

``import glowplug`` does not import this package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glowplug import Bucket

    from ._fakes3 import FakeS3, Operation, Request

__all__ = ["Bucket", "FakeS3", "Operation", "Request"]


# The plugin is below this package, and each run of pytest imports it: the server waits until somebody wants one.
def __getattr__(name: str) -> object:
    if name == "Bucket":
        from glowplug import Bucket

        return Bucket
    if name in __all__:
        from . import _fakes3

        return getattr(_fakes3, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
