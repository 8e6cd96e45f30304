"""Bring heavy libraries in without what no daemon of ours uses. A keeper that was killed has less than a
lease to be back (P16, P32), and nearly all of its start is spent on imports.

Call `lean()` before anything else is imported. What is left out fails closed: without structlog's coloured
renderer logs are JSON as ever, and aiohttp's own default context, which nothing here uses, trusts nobody.
"""

import gc
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def lean() -> None:
    """Import structlog and aiohttp, and have pydantic look for no plugins."""
    gc.disable()  # nothing that is imported is ever garbage; `started` takes it up again
    # It would look through everything that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with _absent("rich", "better_exceptions"):  # for tracebacks in colour
        import structlog  # noqa: F401
    with _no_authorities():  # two contexts, each of the machine's whole list
        import aiohttp  # noqa: F401


def started() -> None:
    """The imports are over: what is there stays there, and is not looked through again for garbage."""
    gc.freeze()
    gc.enable()


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """As if these packages were not installed."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _no_authorities() -> Iterator[None]:
    """Contexts made meanwhile know no authority, so they accept no server."""
    original = ssl.create_default_context

    def empty() -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # demands a certificate and the right name

    ssl.create_default_context = empty  # type: ignore[assignment]
    try:
        yield
    finally:
        ssl.create_default_context = original
