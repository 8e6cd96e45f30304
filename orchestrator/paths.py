"""Where a site's controller keeps its things on its own machine: one place for daemons and command alike.

Only names paths; makes, opens and removes nothing.
"""

from pathlib import Path

from orchestrator.errors import OrchestratorMisuse
from sites.model import Estate

DEFAULT_STATE = Path("/var/lib/twinsite")
LONGEST_SOCKET_BYTES = 107  # sun_path is 108 bytes on Linux, the last one being the terminator


class SocketPathTooLong(OrchestratorMisuse):
    """The kernel takes no socket at such a path."""


def state_directory(estate: Estate, site: str, base: Path) -> Path:
    """`sites.<site>.state`, relative to `base` (the estate file's folder); without it
    /var/lib/twinsite/<site>. Raises KeyError when the estate has no such site."""
    written = estate.sites[site].state_directory
    if written is None:
        return DEFAULT_STATE / site
    return (base.absolute() / Path(written).expanduser()).absolute()


def controller_socket(state: Path) -> Path:
    """The local API's socket. Raises SocketPathTooLong."""
    return _socket(state, "controller.sock")


def keeper_socket(state: Path) -> Path:
    """The socket between the controller and its keeper. Raises SocketPathTooLong."""
    return _socket(state, "keeper.sock")


def journal_path(state: Path) -> Path:
    """The journal of runs and decisions (SQLite)."""
    return state / "journal.sqlite"


def history_path(state: Path) -> Path:
    """The figures of past runs, for years (SQLite)."""
    return state / "history.sqlite"


def last_known_path(state: Path) -> Path:
    """Who owned what, as last known."""
    return state / "last-known.json"


def _socket(state: Path, name: str) -> Path:
    path = state / name
    length_bytes = len(str(path).encode())
    if length_bytes > LONGEST_SOCKET_BYTES:
        raise SocketPathTooLong(
            f"{path}: {length_bytes} bytes long, and a socket's path may have {LONGEST_SOCKET_BYTES}; "
            f"give the site a shorter `state:` folder in the estate file"
        )
    return path
