"""What `status` warns of about certificates. Pure: no files, nothing of cryptography's."""

from collections.abc import Mapping

from sites.identity import PREFIX

WARN_BELOW_DAYS = 30.0
_DAY_SECONDS = 86_400.0


def certificate_warnings(ends_unix_seconds: Mapping[str, float], now_unix_seconds: float) -> list[str]:
    """A line for each certificate that runs out soon or has; the first to run out comes first."""
    lines = []
    for identity, ends in sorted(ends_unix_seconds.items(), key=lambda item: item[1]):
        days = (ends - now_unix_seconds) / _DAY_SECONDS
        if days >= WARN_BELOW_DAYS:
            break
        who = identity.removeprefix(PREFIX)
        ours = identity.startswith(PREFIX)
        whose = f"the certificate of {who}" if ours else f"the {who}'s certificate"
        told = "HAS RUN OUT: who connects anew is refused" if days <= 0 else f"runs out in {_in_words(days)}"
        renew = (
            f"renew {who}` and copy it to its host" if ours else "renew --authority` and copy it everywhere"
        )
        lines.append(f"{whose} {told}; where ca.key is kept: `twinsite certs {renew}")
    return lines


def _in_words(days: float) -> str:
    if days < 2:
        return f"{days * 24:.0f} hours"
    return f"{int(days)} days"
