"""A proxy between a client and PostgreSQL that cuts the connection at the n-th round trip: before the request arrives, or after it was done
and before its answer arrives. It counts what goes over the wire, so a statement that is added later is counted without being named here."""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Loses = Literal["request", "answer"]
_ENDS = {b"Q", b"S"}
"""The messages by which a client asks for an answer: a simple query, and a sync."""
_ANSWERED = {3, 5, 10, 11}
"""The requests for a password that the client answers."""


class Cut(Exception):
    """The connection ends here."""


class CuttingProxy:
    """Listens on a port of its own. `arm` it, and it cuts once."""

    def __init__(self, dsn: str) -> None:
        where = conninfo_to_dict(dsn)
        self._server = (str(where["host"]), int(str(where["port"])))
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
        self._threads: list[Thread] = []
        self._at, self._loses, self.seen, self.cut = 0, "request", 0, False
        self._start(self._listen)

    def arm(self, at: int, loses: Loses) -> None:
        """Cut at the `at`-th round trip from now on."""
        self._at, self._loses, self.seen, self.cut = at, loses, 0, False

    def disarm(self) -> None:
        self._at = 0

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who waits in accept
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, does: Callable[..., None], *arguments: object) -> None:
        thread = Thread(target=does, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, suppress(Cut, OSError):
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _log_in(client, server)
            while True:
                self._round_trip(client, server)

    def _round_trip(self, client: socket.socket, server: socket.socket) -> None:
        request = b""
        kind = b""
        while kind not in _ENDS:
            kind, whole = _message(client)
            request += whole
            if kind == b"X":
                server.sendall(request)
                raise Cut
        self.seen += 1
        strikes = self.seen == self._at and not self.cut
        if strikes and self._loses == "request":
            self.cut = True
            raise Cut
        server.sendall(request)
        answer = b""
        while kind != b"Z":
            kind, whole = _message(server)
            answer += whole
        if strikes:
            self.cut = True
            raise Cut
        client.sendall(answer)


def _log_in(client: socket.socket, server: socket.socket) -> None:
    head = _exactly(client, 4)
    server.sendall(head + _exactly(client, struct.unpack("!I", head)[0] - 4))
    kind = b""
    while kind != b"Z":
        kind, whole = _message(server)
        client.sendall(whole)
        if kind == b"R" and struct.unpack("!I", whole[5:9])[0] in _ANSWERED:
            server.sendall(_message(client)[1])


def _message(of: socket.socket) -> tuple[bytes, bytes]:
    """The letter of a message, and all of it."""
    head = _exactly(of, 5)
    return head[:1], head + _exactly(of, struct.unpack("!I", head[1:])[0] - 4)


def _exactly(of: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = of.recv(size - len(found))
        if not part:
            raise Cut
        found += part
    return found
