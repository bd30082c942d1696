"""Runs one function of the running local stack on one event: `make invoke FUNCTION=version_assets EVENT=events/records_read.json`.

A sample of a message (events/<kind>.json) is wrapped into the batch that SQS would deliver. A raw AWS event (events/aws/<function>.*.json)
is passed as it is, except that its bucket is the stack's, and its token one that the stack gave.
"""

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from infra.local.stack import ROOT, Home, Stack, client

_PARTY: Final = {"originator": "prairie", "investor": "acorn", "operator": "operator"}
"""Whose token is shown to the authorizer of an audience."""


def main(function: str, event_path: str) -> int:
    """Invoke, print what the function answered and logged; 0 when it did not fail."""
    stack = Stack.read(Home.from_env())
    if stack is None:
        sys.exit("local stack: not up (make up)")
    if function not in stack.functions or not event_path or not Path(event_path).is_file():
        samples = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "events").rglob("*.json") if "schemas" not in path.parts)
        sys.exit(f"make invoke FUNCTION=... EVENT=...\n\nfunctions: {', '.join(sorted(stack.functions))}\n\nevents:\n  " + "\n  ".join(samples))
    event = delivered(json.loads(Path(event_path).read_text()), stack, function)
    answer = client("lambda", stack.aws_endpoint).invoke(FunctionName=stack.functions[function], LogType="Tail", Payload=json.dumps(event))
    print(json.dumps(json.loads(answer["Payload"].read() or b"null"), indent=2))
    print(base64.b64decode(answer.get("LogResult", "")).decode(errors="replace"), file=sys.stderr)
    failed = "FunctionError" in answer
    return 1 if failed else 0


def delivered(sample: dict[str, Any], stack: Stack, function: str) -> dict[str, Any]:
    """The event as the function's source would hand it over."""
    if "kind" not in sample:
        return _of_this_stack(sample, stack, function)
    now = str(int(time.time() * 1000))
    attributes = {"MessageGroupId": "invoked", "SentTimestamp": now, "ApproximateReceiveCount": "1", "SequenceNumber": "1"}
    record = {"messageId": str(uuid4()), "receiptHandle": "invoked", "body": json.dumps(sample, separators=(",", ":")), "attributes": attributes}
    return {"Records": [{**record, "messageAttributes": {}, "eventSource": "aws:sqs", "eventSourceARN": f"invoked:{function}", "awsRegion": stack.region}]}


def _of_this_stack(event: dict[str, Any], stack: Stack, function: str) -> dict[str, Any]:
    """The raw event with the names that this stack gave: of the bucket, and of who calls."""
    environment = client("lambda", stack.aws_endpoint).get_function_configuration(FunctionName=stack.functions[function])["Environment"]["Variables"]
    for record in event.get("Records", ()):
        if "s3" in record:
            record["s3"]["bucket"]["name"] = environment["BUCKET_UPLOADS"]
    if event.get("type") == "REQUEST":
        event["headers"]["authorization"] = f"Bearer {stack.tokens[_PARTY[environment['AUDIENCE']]]}"
    return event


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
