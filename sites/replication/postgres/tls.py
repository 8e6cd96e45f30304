"""How connections to a PostgreSQL server are encrypted, and whose certificates are believed.

Reads the CA's file afresh for every connection, so that one that was renewed needs no restart.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sites.errors import DriverTrouble

VERIFYING = ("verify-ca", "verify-full")
LIBPQ_MODES = {"off": "disable"}  # where libpq has another word for it
Asked = ssl.SSLContext | str | Literal[False]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """`tls` and `ca` of the settings. Without a `ca` it is libpq's own root.crt that must be there."""

    mode: str
    ca: Path | None = None

    def for_connection(self) -> Asked:
        """What the client library is told. Blocks on the disk where there is a `ca`. Raises DriverTrouble
        for one that cannot be used."""
        if self.mode == "off":
            return False
        if self.ca is None or self.mode not in VERIFYING:
            return self.mode
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.mode == "verify-full"
        try:
            context.load_verify_locations(cafile=str(self.ca))
        except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
            found = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
            raise DriverTrouble(
                f"the CA file {self.ca} cannot be used: {found}; put the authority's certificate there, or "
                "correct `ca` under replication"
            ) from fault
        return context
