"""Connect by TCP to the first address of a name that accepts, within one try's time."""

import asyncio

from probes.names import Names
from probes.settings import Endpoint
from probes.trying import Trail


async def connect(
    endpoint: Endpoint, *, names: Names, trail: Trail, timeout_seconds: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to `endpoint`; each of its addresses gets its share of the time that is left.

    The whole is the caller's deadline to hold. Raises OSError of the last address, or socket.gaierror.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_seconds
    addresses = await names.addresses(endpoint.host, timeout_seconds=timeout_seconds)
    trail.reached = f"connecting to {', '.join(addresses)}"
    for left in range(len(addresses), 1, -1):
        address = addresses[-left]
        try:
            async with asyncio.timeout((ends_at - loop.time()) / left):
                return await asyncio.open_connection(address, endpoint.port)
        except OSError:
            continue
    return await asyncio.open_connection(addresses[-1], endpoint.port)
