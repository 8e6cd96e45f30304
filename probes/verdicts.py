"""Fold single results into a verdict: k of the last n, the same way down, up and to unknown.

Pure. The rule, in the order it is applied to each new result:

1. The result joins the last n results that count.
2. If k of those say what the newest says, that is the verdict.
3. When this changed the verdict, the counting starts anew: results that brought one change about are
   spent. So a service that went down after `2 of 5` failures needs two successes **since then** to be
   up again, and a flapping target flaps no faster than k results at a time.

The first verdict is UNKNOWN until k results agree. UNKNOWN results count like the others: a target that
cannot be tried any more becomes unknown after k of n such tries, and keeps its verdict until then; one
failed probe, or one that could not be carried out, changes nothing (unless k is 1).
"""

from dataclasses import replace

from probes.errors import ProbesMisuse
from probes.model import Observation, ProbeResult, Verdict

LONGEST_WINDOW = 100


def begin(*, probe: str, service: str, site: str, kind: str, now_ns: int) -> Observation:
    """What is known before the first result: nothing, since `now_ns`."""
    return Observation(probe, service, site, kind, Verdict.UNKNOWN, since_ns=now_ns, last=None)


def check_counts(k: int, n: int) -> None:
    """Raise ProbesMisuse unless `k of n` can change a verdict."""
    if not 1 <= k <= n <= LONGEST_WINDOW:
        raise ProbesMisuse(
            f"`{k} of {n}` can never change a verdict: expected 1 <= k <= n <= {LONGEST_WINDOW} in `k of n`"
        )


def fold(observation: Observation, result: ProbeResult, *, k: int, n: int) -> Observation:
    """The observation after one more result. Raises ProbesMisuse for an impossible `k of n`."""
    check_counts(k, n)
    recent = (*observation.recent, result.verdict)[-n:]
    counted = min(observation.counted + 1, n)
    agreeing = recent[-counted:].count(result.verdict)
    if agreeing < k or result.verdict is observation.verdict:
        return replace(observation, last=result, recent=recent, counted=counted)
    return replace(
        observation,
        verdict=result.verdict,
        since_ns=result.at_ns,
        last=result,
        recent=recent,
        counted=0,
    )
