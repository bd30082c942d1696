"""Saved templates of transactions: documents with typed parameters, run with values."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from .connection import ROOT, Connection, step
from .nouns import Posted, Template, read, rfc3339
from .signing import Signer, sign_each

Values = Mapping[str, Any]
Time = str | datetime


class Parameter:
    """Stands for a value in a template: `Parameter("price")`."""

    def __init__(self, name: str) -> None:
        self.name: Final = name


class Templates:
    """Templates by their ids and versions, which are 1, 2, 3 … and stay for ever."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection

    def save(self, template_id: str, version: int, parameters: Mapping[str, str], document: Mapping[str, Any]) -> Template:
        """`parameters`: amount, account, flavor, time, text or tags, by name. `document`: `actions`, and `kind`, `tags`, `expect` if there are any, in which
        a `Parameter` stands for a whole value. The same again changes nothing. Raises Conflict where this version says something else."""
        body = {"template_id": template_id, "version": version, "parameters": dict(parameters), "document": _marked(document)}
        return read(Template, self._connection.ask("POST", f"{ROOT}/templates", body=body))

    def get(self, template_id: str, version: int | None = None) -> Template:
        """The newest version, if none is named. Raises NotFound."""
        return read(Template, self._connection.ask("GET", f"{ROOT}/templates/{step(template_id)}", query={"version": version}))

    def list(self, *, page: int = 100) -> Iterator[Template]:
        """The newest version of each, by their ids."""
        for one in self._connection.pages("GET", f"{ROOT}/templates", {"limit": page}):
            yield read(Template, one)

    def render(self, template_id: str, version: int, txn_id: str, at: Time, values: Values) -> dict[str, Any]:
        """The transaction's document, to be looked at, signed and posted: `ledger.transactions.post(document, signers=[…])`."""
        body = _asked(template_id, version, txn_id, at, values)
        document: dict[str, Any] = self._connection.ask("POST", f"{ROOT}/templates/render", body=body)["transaction"]
        return document

    def run(
        self,
        template_id: str,
        version: int,
        txn_id: str,
        at: Time,
        values: Values,
        *,
        dry_run: bool = False,
        signers: Sequence[Signer] = (),
        template: Template | None = None,
    ) -> Posted:
        """Post what the template makes of the values, once per `txn_id` for ever. What signers sign is made here: of `template`, a version as the caller
        knows it, or as the ledger tells it now. Raises LedgerError, DigestDiffers."""
        query, body = {"dry_run": "true"} if dry_run else None, _asked(template_id, version, txn_id, at, values)
        if signers:
            known = template or self.get(template_id, version)
            if (known.template_id, known.version) != (template_id, version):
                raise ValueError(f"this is version {known.version} of {known.template_id}")
            body["signatures"] = sign_each(self._connection, [made(known, body)], signers)
        found = self._connection.ask("POST", f"{ROOT}/templates/run", query=query, body=body)
        return read(Posted, found["posted"])


def made(template: Template, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The document of the transaction that a run is, as the ledger makes it."""
    document = _filled(_marked(template.document), asked["values"])
    tags = {**document.get("tags", {}), "template_id": template.template_id, "template_version": template.version}
    return {**document, "txn_id": asked["txn_id"], "effective_at": asked["effective_at"], "tags": tags}


def _asked(template_id: str, version: int, txn_id: str, at: Time, values: Values) -> dict[str, Any]:
    given = {name: rfc3339(one) if isinstance(one, datetime) else one for name, one in values.items()}
    return {"template_id": template_id, "version": version, "txn_id": txn_id, "effective_at": rfc3339(at), "values": given}


def _marked(value: Any) -> Any:
    """The value with each parameter as the ledger writes it."""
    if isinstance(value, Parameter):
        return {"$": value.name}
    if isinstance(value, Mapping):
        return {name: _marked(one) for name, one in value.items()}
    return [_marked(one) for one in value] if isinstance(value, list | tuple) else value


def _filled(value: Any, values: Values) -> Any:
    """The value with each parameter's value in its place; one that is missing is left for the ledger to refuse."""
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(name := value.get("$"), str):
            return values.get(name)
        return {name: _filled(one, values) for name, one in value.items()}
    return [_filled(one, values) for one in value] if isinstance(value, list | tuple) else value
