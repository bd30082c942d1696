"""What a hop in flow.py says and reaches, as permissions and environment variables: the role of a function is made of this and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from bourse import flow

from infra.foundation import Foundation
from infra.stage import Stage

_READ: Final = ("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query")
# No update and no delete; and no BatchWriteItem, for that permission alone would allow both kinds of its requests.
_PUT: Final = (*_READ, "dynamodb:PutItem")
_WRITE: Final = (*_PUT, "dynamodb:UpdateItem")

_SEND: Final = ("sqs:SendMessage",)
_SEND_LOCALLY: Final = (*_SEND, "sqs:SendMessageBatch")
"""AWS asks for SendMessage also when a batch is sent and knows no action of the other name; the emulator asks for that one."""

TABLE_VERBS: Final = {
    "pipeline:read": ("pipeline", _READ),
    "pipeline:write": ("pipeline", _PUT),
    "versions:append": ("versions", _PUT),
    "versions:read": ("versions", _READ),
    "book:write": ("books", _WRITE),
    "offers:write": ("offers", _PUT),
    "offers:read": ("offers", _READ),
}
"""What flow.py calls it -> the table, and the actions on it."""

DELETES: Final = dict.fromkeys(("uploads:sign", "uploads:read", "uploads:list"), ("pipeline", "OPEN#*"))
"""What flow.py calls it -> the table, and the partitions items of which may be deleted: the list of uploads that are not closed.

Whoever handles uploads closes them (cancelled, read, expired); others that write to the same table have nothing to delete there.
"""

OBJECT_VERBS: Final = {
    "uploads:sign": ("uploads", ("s3:PutObject",)),  # a presigned request is allowed what its signer is
    "uploads:read": ("uploads", ("s3:GetObject", "s3:GetObjectVersion")),  # the object that arrived, also when its key was written again
    "snapshots:write": ("snapshots", ("s3:GetObject", "s3:PutObject")),
}
"""What flow.py calls it -> the bucket, and the actions on its objects."""

BUCKET_VERBS: Final = {
    "uploads:list": ("uploads", ("s3:ListBucket",)),
    "uploads:read": ("uploads", ("s3:ListBucket",)),  # who may not list is told "forbidden" of an object that is not there
}
"""What flow.py calls it -> the bucket, and the actions on itself."""

SECRETS: Final = ("hash_key", "token_key")
OPERATIONS_KEY: Final = "operations_key"
NETWORK: Final = "postgres"
"""A function that reaches this one runs in the database's network, on AWS."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Everything the hops of one function need, together."""

    environment: dict[str, str]
    statements: tuple[iam.PolicyStatement, ...]
    in_network: bool
    buckets: tuple[str, ...]
    """Buckets all of whose objects a statement names, which the role must have acknowledged."""


def reach(hops: Iterable[flow.Hop], stage: Stage, foundation: Foundation) -> Reach:
    """What a function with these hops may do. Raises KeyError for a verb that no table here knows."""
    hops = tuple(hops)
    stores = sorted({store for hop in hops for store in hop.reaches})
    said = sorted({flow.queue_hearing(message).name for hop in hops for message in hop.says})
    heard = sorted({hop.source.name for hop in hops if isinstance(hop.source, flow.Queue)})
    environment: dict[str, str] = {}
    statements: list[iam.PolicyStatement] = []
    for store in stores:
        variables, granted = _store(store, stage, foundation)
        environment |= variables
        statements += granted
    if said:
        environment |= {f"QUEUE_{name.upper()}_URL": stage.queue_url(name) for name in said}
        statements.append(_allow("Says", _SEND if not stage.local else _SEND_LOCALLY, [stage.queue_arn(name) for name in said]))
    if heard:
        actions = ("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
        statements.append(_allow("Hears", actions, [stage.queue_arn(name) for name in heard]))
    if statements:
        statements.append(use_of(foundation.key))
    return Reach(
        environment=environment,
        statements=tuple(statements),
        in_network=NETWORK in stores,
        buckets=tuple(OBJECT_VERBS[store][0] for store in stores if store in OBJECT_VERBS),
    )


def use_of(key: kms.IKey) -> iam.PolicyStatement:
    """To read and write what is encrypted with the key; DynamoDB asks the caller for the last two as well."""
    return _allow("Key", ("kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:Encrypt"), [key.key_arn])


def read_secret(name: str, foundation: Foundation) -> tuple[dict[str, str], iam.PolicyStatement]:
    """The variable that names a secret (never its value), and the permission to read it."""
    return _read(name, {"hash_key": foundation.hash_key, "token_key": foundation.token_key}[name])


def sign_for_operations(foundation: Foundation) -> tuple[dict[str, str], iam.PolicyStatement]:
    """The variable that names what the marketplace signs its postings with, and the permission to sign."""
    key = foundation.operations_key
    if isinstance(key, secretsmanager.Secret):
        return _read("operations_key", key)
    return {"OPERATIONS_KMS_KEY": key.attr_arn}, _allow("SignsForOperations", ("kms:Sign", "kms:GetPublicKey"), [key.attr_arn])


def _read(name: str, secret: secretsmanager.Secret) -> tuple[dict[str, str], iam.PolicyStatement]:
    bare = secret.node.default_child
    assert isinstance(bare, secretsmanager.CfnSecret)
    arn = bare.attr_id  # what Ref, and so secret_arn, is on AWS too; on the emulator that one is the name
    sid = "".join(word.title() for word in name.split("_"))
    return {f"{name.upper()}_SECRET": arn}, _allow(sid, ("secretsmanager:GetSecretValue",), [arn])


def _store(store: str, stage: Stage, foundation: Foundation) -> tuple[dict[str, str], list[iam.PolicyStatement]]:
    """The variables that name a store, and what may be done there. Raises KeyError for a store or verb that no table here knows."""
    sid = "".join(word.title() for word in store.replace("_", ":").split(":"))
    if store in SECRETS:
        variables, statement = read_secret(store, foundation)
        return variables, [statement]
    if store == OPERATIONS_KEY:
        variables, statement = sign_for_operations(foundation)
        return variables, [statement]
    if store == NETWORK:
        return {}, []  # the database stack says how it is reached, see database.py
    variables, statements = {}, []
    if store in TABLE_VERBS:
        table, actions = TABLE_VERBS[store]
        variables[f"TABLE_{table.upper()}"] = stage.table(table)
        statements.append(_allow(sid, actions, [stage.table_arn(table)]))
    if store in DELETES:
        table, partitions = DELETES[store]
        only = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [partitions]}}
        statements.append(_allow(f"{sid}Delete", ("dynamodb:DeleteItem",), [stage.table_arn(table)], only))
    for verbs, suffix, of in ((OBJECT_VERBS, "/*", ""), (BUCKET_VERBS, "", "Bucket")):
        if store in verbs:
            bucket, actions = verbs[store]
            variables[f"BUCKET_{bucket.upper()}"] = stage.bucket(bucket)
            statements.append(_allow(sid + of, actions, [stage.bucket_arn(bucket) + suffix]))
    if not statements:
        raise KeyError(f"flow.py reaches {store!r}: say in infra/reach.py what that allows")
    return variables, statements


def _allow(sid: str, actions: Iterable[str], resources: list[str], conditions: Mapping[str, object] | None = None) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=resources, conditions=conditions)
