"""Turn names into IP addresses for probes, so that a slow resolver is seen as just that.

One lookup per name is under way at a time and all tries share it. Each has a thread of its own, so a
name whose servers are gone delays neither other names nor anything else in the process, nor its end.
The number of threads is bounded: beyond it, a lookup fails at once. IP addresses never meet a resolver.
Nothing is remembered between tries: a cached address could belong to the site that was moved away from.
"""

import asyncio
import ipaddress
import socket
import threading

from sites.quantities import format_duration

MOST_LOOKUPS = 16
_SHARE_OF_TIMEOUT = 0.75  # of a try's time; what is left is for the target

Lookup = asyncio.Future[tuple[str, ...]]


def is_address(host: str) -> bool:
    """Whether `host` is an IP address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Names:
    """The system's resolver, shared by all probes of a process."""

    def __init__(self) -> None:
        self._running: dict[str, Lookup] = {}

    async def addresses(self, host: str, *, timeout_seconds: float) -> tuple[str, ...]:
        """The addresses of `host`, at least one, in the resolver's order.

        Waits at most three quarters of `timeout_seconds`. Raises socket.gaierror.
        """
        if is_address(host):
            return (host,)
        if host not in self._running:
            if len(self._running) >= MOST_LOOKUPS:
                raise socket.gaierror(socket.EAI_AGAIN, f"{MOST_LOOKUPS} other names are still unanswered")
            self._running[host] = self._start(host)
        within = timeout_seconds * _SHARE_OF_TIMEOUT
        try:
            return await asyncio.wait_for(asyncio.shield(self._running[host]), within)
        except TimeoutError:
            raise socket.gaierror(
                socket.EAI_AGAIN, f"the resolver did not answer for {host} within {format_duration(within)}"
            ) from None

    def _start(self, host: str) -> Lookup:
        loop = asyncio.get_running_loop()
        lookup: Lookup = loop.create_future()

        def settle(found: tuple[str, ...] | socket.gaierror) -> None:
            self._running.pop(host, None)
            if lookup.cancelled():
                return
            if isinstance(found, socket.gaierror):
                lookup.set_exception(found)
                lookup.exception()  # everyone who waited may have given up; then nobody else looks at it
            else:
                lookup.set_result(found)

        def work() -> None:
            found = _look_up(host)
            try:
                loop.call_soon_threadsafe(settle, found)
            except RuntimeError:
                pass  # the loop was closed meanwhile: nobody waits any more

        # A daemon thread: the process must be able to end while the resolver hangs.
        threading.Thread(target=work, name=f"lookup {host}", daemon=True).start()
        return lookup


def _look_up(host: str) -> tuple[str, ...] | socket.gaierror:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return error
    except (OSError, UnicodeError) as error:
        return socket.gaierror(socket.EAI_NONAME, f"{host!r} is no name that can be looked up: {error}")
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
