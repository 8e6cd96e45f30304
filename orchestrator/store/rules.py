"""What every store demands of a call before it sends anything. Pure.

A request may be sent to several members (base.py), so a transaction that writes must change one of the
keys it compares: then its second arrival fails its compare instead of writing again.
"""

from collections.abc import Sequence

from orchestrator.store.base import Compare, Put, StoreMisuse

LARGEST_TRANSACTION = 128  # etcd's --max-txn-ops: compares, and puts and reads together


def check_transaction(compares: Sequence[Compare], puts: Sequence[Put], reads: Sequence[str]) -> None:
    """Raises StoreMisuse for a transaction that could do harm when it arrives twice, or cannot be sent."""
    compared = [compare.key for compare in compares]
    written = [put.key for put in puts]
    if not compares:
        raise StoreMisuse(
            "a transaction without compares would write unconditionally (P13): name at least "
            "one key and the revision it was last seen at"
        )
    if len(set(written)) != len(written):
        raise StoreMisuse(f"a transaction writes a key twice: {_listed(written)}; write each key once")
    if written and not set(written) & set(compared):
        raise StoreMisuse(
            f"a transaction writes {_listed(written)} but compares only {_listed(compared)}: sent to two "
            f"members it would be applied twice; compare at least one of the keys it writes"
        )
    if max(len(compares), len(puts) + len(reads)) > LARGEST_TRANSACTION:
        raise StoreMisuse(
            f"a transaction of {len(compares)} compares, {len(puts)} puts and {len(reads)} reads: "
            f"the store takes {LARGEST_TRANSACTION}; split it"
        )


def check_watch(from_revision: int) -> None:
    """Raises StoreMisuse for a start that stores read as "from now on"."""
    if from_revision < 1:
        raise StoreMisuse(
            f"a watch from revision {from_revision} would miss writes: read first, then watch "
            f"from the revision after that answer's"
        )


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys) or "nothing"
