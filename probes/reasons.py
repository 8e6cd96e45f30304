"""The reason codes of probe results: short, stable, the same in logs, metrics, API and manual.

Names only. `docs/probes.md` explains each; which verdict a code goes with is fixed by the kind that
gives it and noted here in the order UP, DOWN, UNKNOWN.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a result has its verdict. A code is never renamed and never changes its meaning."""

    # UP
    ANSWERED = "answered"
    WRITABLE = "writable"
    STREAMING = "streaming"

    # DOWN: the target, or the way to it, did not do what was asked
    REFUSED = "refused"
    TIMED_OUT = "timed-out"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    TLS_FAILED = "tls-failed"
    CERTIFICATE_BAD = "certificate-bad"
    CERTIFICATE_EXPIRING = "certificate-expiring"
    WRONG_STATUS = "wrong-status"
    WRONG_ANSWER = "wrong-answer"
    WRONG_REDIRECT = "wrong-redirect"
    STARTING = "starting"
    FULL = "full"
    DATABASE_UNKNOWN = "database-unknown"
    QUERY_FAILED = "query-failed"
    READ_ONLY = "read-only"
    NOT_STREAMING = "not-streaming"
    NOT_RUNNING = "not-running"
    WRONG_ROLE = "wrong-role"

    # UNKNOWN: we could not try, so nothing is known about the target
    NAME_UNKNOWN = "name-unknown"
    RESOLVER_FAILED = "resolver-failed"
    LOGIN_REFUSED = "login-refused"
    NOT_PERMITTED = "not-permitted"
    QUERY_INVALID = "query-invalid"
    HOST_KEY_CHANGED = "host-key-changed"
    NO_ANSWER = "no-answer"
    NO_DRIVER = "no-driver"
    OWN_SIDE = "own-side"
    OWN_STALL = "own-stall"
    OWN_BUSY = "own-busy"
    PROBE_BROKEN = "probe-broken"
