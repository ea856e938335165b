"""S3 bucket listings for Python Lambdas that start cold, done in Go, without boto3.

>>> import glowplug
>>> s3 = glowplug.S3()                       # once, outside the handler
>>> def handler(event, context):
...     return s3.list_buckets(context=context).to_dicts()

Importing glowplug reads five small files. The native library is loaded by the
first :class:`S3`, in the background where the process is no Lambda.
"""

from . import errors
from ._s3 import S3, Bucket, BucketList, Stats
from ._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._client import ClientError, NotSupportedError, client

__all__ = ["S3", "Bucket", "BucketList", "ClientError", "NotSupportedError", "Stats", "__version__", "client", "errors"]


def __getattr__(name: str) -> object:
    # The drop-in for boto3 is loaded when it is asked for.
    if name not in ("client", "ClientError", "NotSupportedError"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _client

    globals()[name] = value = getattr(_client, name)
    return value
