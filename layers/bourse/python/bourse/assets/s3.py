"""The bucket originators upload to, on S3: requests signed with SigV4 that write once, and reads of exactly the object that arrived."""

from collections.abc import Iterator
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from bourse.assets.uploads import Arrival, Declared, Signed
from bourse.aws import settings
from bourse.aws.clients import client
from bourse.errors import Refused, Unavailable

_PIECE_BYTES: Final = 256 * 1024
_REOPENS_MAX: Final = 3
_GONE: Final = frozenset({"404", "412", "NoSuchKey", "NoSuchVersion", "NotFound", "PreconditionFailed", "405", "MethodNotAllowed"})
_PLAIN_TYPE: Final = "application/octet-stream"


class S3Objects:
    """An `UploadObjects`."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    @classmethod
    def from_env(cls) -> "S3Objects":
        return cls(client("s3"), settings.text("BUCKET_UPLOADS"))

    def sign(self, key: str, declared: Declared, size_max: int, seconds: int) -> Signed:
        if declared.size_bytes is None and declared.checksum_sha256 is None:
            return self._form(key, declared.content_type or _PLAIN_TYPE, size_max, seconds)
        pinned: dict[str, Any] = {"IfNoneMatch": "*"}
        headers = {"If-None-Match": "*"}
        if declared.size_bytes is not None:
            pinned["ContentLength"] = declared.size_bytes
            headers["Content-Length"] = str(declared.size_bytes)
        if declared.content_type:
            pinned["ContentType"] = headers["Content-Type"] = declared.content_type
        if declared.checksum_sha256:
            pinned["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = declared.checksum_sha256
        url = self._s3.generate_presigned_url("put_object", Params={"Bucket": self._bucket, "Key": key, **pinned}, ExpiresIn=seconds)
        return Signed(method="PUT", url=url, headers=headers)

    def _form(self, key: str, content_type: str, size_max: int, seconds: int) -> Signed:
        """A form for whoever cannot tell the size of what he is going to send."""
        fields = {"Content-Type": content_type}
        conditions = [["content-length-range", 1, size_max], fields]
        form = self._s3.generate_presigned_post(self._bucket, key, Fields=fields, Conditions=conditions, ExpiresIn=seconds)
        return Signed(method="POST", url=form["url"], fields=form["fields"])

    def find(self, key: str) -> Arrival | None:
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return None
            raise
        return Arrival(
            size_bytes=head["ContentLength"],
            etag=head["ETag"].strip('"'),
            version_id=head.get("VersionId"),
            checksum_sha256=head.get("ChecksumSHA256"),
            written_at=head["LastModified"],
        )

    def exists(self, key: str) -> bool:
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        return any(found["Key"] == key for found in listed)

    def read(self, key: str, arrival: Arrival, start: int) -> Iterator[bytes]:
        in_vain = 0
        while start < arrival.size_bytes:
            begun = start
            try:
                for piece in self._open(key, arrival, start):
                    yield piece
                    start += len(piece)
            except (BotoCoreError, OSError, Unavailable) as error:
                # Sending chunks may keep the connection waiting until S3 closes it: go on from the same place.
                lost: Exception = error
            else:
                lost = OSError("the connection ended early")
            in_vain = in_vain + 1 if start == begun else 0
            if in_vain == _REOPENS_MAX:
                raise Unavailable("the object cannot be read now") from lost

    def _open(self, key: str, arrival: Arrival, start: int) -> Iterator[bytes]:
        exactly = {"VersionId": arrival.version_id} if arrival.version_id else {"IfMatch": f'"{arrival.etag}"'}
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={start}-", **exactly)
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                raise Refused("OBJECT_CHANGED", "the object that arrived is no more") from error
            raise
        body = answer["Body"]
        with body:
            while piece := body.read(_PIECE_BYTES):
                yield piece
