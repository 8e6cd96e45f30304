"""What is written for an IP address and is none. Pure: nothing is resolved."""

import ipaddress
import re

_LIKE_IPV4 = re.compile(r"(?:^|\.)\d+\.?$")  # no name of a host ends in a number


def no_address(host: str) -> bool:
    """Whether a text has the shape of an IP address and is not one: 10.20.1.600, 1.2.3, fe80:::1."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" not in bare and not _LIKE_IPV4.search(bare):
        return False
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return True
    return False
