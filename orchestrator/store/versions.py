"""Which versions of etcd may hold ownership. Pure: a version in, a reason out."""

import re

Version = tuple[int, int, int]

# Ordered: first match wins. Each row: from, up to and including, why.
UNSAFE: tuple[tuple[Version, Version, str], ...] = (
    ((0, 0, 0), (3, 3, 9999), "is too old: it has no /v3 gateway and no pre-vote worth relying on"),
    ((3, 4, 0), (3, 4, 21), "can diverge from its peers (mended in 3.4.22)"),
    ((3, 5, 0), (3, 5, 5), "can lose committed writes or diverge when killed under load (mended in 3.5.6)"),
)
ADVICE = "run 3.4.22 or later of 3.4, or 3.5.6 or later"


def parse_version(text: str) -> Version | None:
    """The first three numbers in `text`, such as "3.4.23" or "etcd Version: 3.5.1"; None without any."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def unsafe_reason(text: str) -> str | None:
    """Why this version must not be used; None if it may."""
    version = parse_version(text)
    if version is None:
        return f"shows no version that could be read ({text[:40]!r})"
    for first, last, why in UNSAFE:
        if first <= version <= last:
            return why
    return None
