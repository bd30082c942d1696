"""S3 as far as books ask of it: boto3's client over objects in memory."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, NoReturn

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from bourse.errors import Unavailable


class S3Client:
    """`objects` are by bucket and key; a bucket begins with its first object. `cut` is told of each call, before and after its effect."""

    def __init__(self, objects: dict[tuple[str, str], bytes], cut: Callable[[str, bool], object] = lambda name, after: None) -> None:
        self._objects, self._cut = objects, cut

    def __getattr__(self, operation: str) -> NoReturn:
        raise AssertionError(f"the simulation's S3 does not know {operation}")

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> dict[str, Any]:
        def put() -> dict[str, Any]:
            self._objects[Bucket, Key] = bytes(Body)
            return {}

        return self._call("put_object", put)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        def get() -> dict[str, Any]:
            if (octets := self._objects.get((Bucket, Key))) is None:
                raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."}}, "GetObject")
            return {"Body": BytesIO(octets), "ContentLength": len(octets)}

        return self._call("get_object", get)

    def _call(self, name: str, effect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            self._cut(f"s3.{name}", False)
        except Unavailable as unreachable:
            raise ConnectTimeoutError(endpoint_url="https://s3") from unreachable
        answer = effect()
        try:
            self._cut(f"s3.{name}", True)
        except Unavailable as lost:
            raise ReadTimeoutError(endpoint_url="https://s3") from lost
        return answer
