"""S3 bucket listings for Python Lambdas that start cold, done in Go, without boto3.

>>> import glowplug
>>> s3 = glowplug.S3()                       # once, outside the handler
>>> def handler(event, context):
...     return s3.list_buckets(context=context).to_dicts()

Importing glowplug reads five small files. The native library is loaded by the
first :class:`S3`, in the background where the process is no Lambda.
"""

from . import errors
from ._s3 import S3, Bucket, BucketList
from ._version import __version__

__all__ = ["S3", "Bucket", "BucketList", "__version__", "errors"]
