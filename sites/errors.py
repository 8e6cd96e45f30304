"""The errors of `sites`, in two families: you asked wrongly, or the world misbehaved.

SitesError
├── SitesMisuse          a configuration or a call that can never work
│   ├── EstateInvalid    sites.yaml has faults (all of them listed)   -> sites.inventory
│   ├── CertificateMisuse  a certificate or key that cannot be used   -> sites.identity
│   ├── WordUnknown      a driver was asked for a word it does not speak
│   └── DriverMissing    a service whose replication nobody here can drive (it is watched only)
└── SitesTrouble         a host, a network or a database did not do its part
    ├── HostUnreachable  no connection: refused, no route, timed out; the command was not started
    │   └── ConnectionBroken  … and it broke while a command was on its way: that one may have run
    ├── HostKeyChanged   the host showed a key that is not the known one
    │   └── HostKeyUnknown    … because known_hosts holds none for it
    │       └── KnownHostsUnreadable  … or cannot be read: the host was not asked
    ├── AccessDenied     key or password not accepted
    │   └── OwnKeyUnusable    … because we have no key to show: the host was not asked
    ├── CommandTimedOut  the command was ended at its deadline
    ├── CommandRefused   the host's step wrapper refused (older epoch, executor)
    └── DriverTrouble    the replicated thing answered, but not as it should
"""


class SitesError(Exception):
    """Root of the errors of `sites`."""


class SitesMisuse(SitesError):
    """You asked wrongly."""


class WordUnknown(SitesMisuse):
    """The driver does not know this word."""


class DriverMissing(SitesMisuse):
    """No driver for this service: it is watched only, and any move of it is refused with `code`."""

    code = "driver-missing"

    def __init__(self, service: str, driver: str | None) -> None:
        named = f"its replication driver {driver!r} does not exist yet" if driver else "it has no replication"
        super().__init__(f"{service} is watched only: {named}")
        self.service = service
        self.driver = driver


class SitesTrouble(SitesError):
    """The world misbehaved."""


class HostUnreachable(SitesTrouble):
    """No connection to the host. Unless it is a ConnectionBroken, the command was not started."""


class ConnectionBroken(HostUnreachable):
    """The connection broke while a command was on its way: it may have run, or may still be running."""


class HostKeyChanged(SitesTrouble):
    """The host's key is not the one in known_hosts."""


class HostKeyUnknown(HostKeyChanged):
    """No key of the host is in known_hosts, or there is no such file."""


class KnownHostsUnreadable(HostKeyUnknown):
    """Our own known_hosts cannot be read. Nothing was asked of the host and nothing is known of it."""


class AccessDenied(SitesTrouble):
    """Key, user or password was not accepted."""


class OwnKeyUnusable(AccessDenied):
    """We have no key to log in with: its file or the agent cannot be used. Nothing was asked of the host and
    nothing is known of it."""


class CommandTimedOut(SitesTrouble):
    """A command was ended at its deadline. `stdout` and `stderr` hold what it had said by then."""

    def __init__(self, message: str = "", *, stdout: str = "", stderr: str = "") -> None:
        super().__init__(message)
        self.stdout = stdout
        self.stderr = stderr


class CommandRefused(SitesTrouble):
    """The step wrapper on the host did not start the command; `code` is its reason (see sites.wrapper)."""

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class DriverTrouble(SitesTrouble):
    """The replicated thing did not do what was asked; the message says what it said."""
