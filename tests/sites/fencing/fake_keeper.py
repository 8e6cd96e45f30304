"""A keeper as far as a guard can see it: TLS, JSON lines, and a test that says what it answers."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from sites.identity import CertificateFiles

Answer = dict[str, Any]


def boottime_ns() -> int:
    """Nanoseconds of CLOCK_BOOTTIME, the guard's clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def until(happened: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Wait until it has happened; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := happened():
            return found
        time.sleep(0.005)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class FakeKeeper:
    """Listens on a port of its own. `answering` None: questions are heard and not answered."""

    def __init__(self, files: CertificateFiles, service: str = "crm") -> None:
        self.service = service
        self.answering: Answer | None = None
        self.heard: list[dict[str, Any]] = []
        self.delay_seconds = 0.0
        self.answered_until_ns = 0  # the latest deadline that a guard may have taken from an answer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        self._context.load_verify_locations(files.ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._door.getsockname()[1]}"
        self._lines: list[ssl.SSLSocket] = []
        self.refused: list[str] = []
        self._ended = False
        self._saying = threading.Lock()
        threading.Thread(target=self._take, daemon=True).start()

    def allow(self, remaining_seconds: float, **other: Any) -> None:
        """From now on answer so."""
        self.answering = {
            "service": self.service,
            "incarnation": 1,
            "epoch": 1,
            "remaining_ns": int(remaining_seconds * 1e9),
            "manual": False,
            **other,
        }

    def order(self, number: int, kind: str, incarnation: int = 1) -> None:
        """Send an order over the newest connection."""
        self.send(
            {"order": number, "kind": kind, "service": self.service, "incarnation": incarnation, "why": "t"}
        )

    def send(self, message: dict[str, Any]) -> None:
        """Send anything."""
        self._say(self._lines[-1], message)

    def _say(self, line: ssl.SSLSocket, message: dict[str, Any]) -> None:
        """One at a time: the test and the thread that answers use the same lines."""
        with self._saying:
            line.sendall(json.dumps(message).encode() + b"\n")

    def hang_up(self) -> None:
        """Drop every connection."""
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def said(self, key: str) -> list[dict[str, Any]]:
        """What was heard of that kind."""
        return [one for one in self.heard if key in one]

    def acknowledged(self, number: int) -> dict[str, Any]:
        """The acknowledgement of that order, waited for."""
        found = until(
            lambda: [one for one in self.said("acknowledged") if one["acknowledged"] == number],
            f"an acknowledgement of {number} among {self.heard[-5:]}",
        )
        return dict(found[0])

    def close(self) -> None:
        """No more of it."""
        self._ended = True
        self._door.close()
        self.hang_up()

    def _take(self) -> None:
        while not self._ended:
            try:
                plain, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            line = self._context.wrap_socket(plain, server_side=True)
            with line:
                reader = line.makefile("rb")
                self._lines.append(line)
                for text in reader:
                    self._hear(line, json.loads(text))
        except (OSError, ValueError) as error:
            self.refused.append(str(error))
            plain.close()

    def _hear(self, line: ssl.SSLSocket, message: dict[str, Any]) -> None:
        self.heard.append(message)
        if "question" in message and (how := self.answering) is not None:
            # From when the question was heard: the guard counts from when it asked, which was earlier.
            self.answered_until_ns = max(self.answered_until_ns, boottime_ns() + how["remaining_ns"])
            time.sleep(self.delay_seconds)
            self._say(line, {"answer": message["question"], **how})
