# ruff: noqa: E501 - the snippets stand as they are in the code
"""One rule switched off or weakened at a time: the simulation must find what goes wrong, or it is too weak.

Each snippet stands exactly once in its module. Rules that another one covers are taken out together with
their cover. Knows nothing of the product but these texts.
"""

from typing import NamedTuple

from orchestrator.simulate.loader import Edit

ACCEPTING = "orchestrator.core.accepting"
ASKING = "orchestrator.core.asking"
ASKS = "orchestrator.core.asks"
CONDITIONS = "orchestrator.core.conditions"
GATES = "orchestrator.core.gates"
GUARDING = "orchestrator.core.guarding"
HOLDING = "orchestrator.core.holding"
LEASE = "orchestrator.core.lease"
NOTING = "orchestrator.core.noting"
OWNERSHIP = "orchestrator.core.ownership"
POWER = "orchestrator.core.power"
PROMISE = "orchestrator.core.promise"
REGISTRATION = "orchestrator.core.registration"
RESTORED = "orchestrator.core.restored"
STATE = "orchestrator.core.state"
GUARD = "sites.fencing.guard"
CONTINUITY = "orchestrator.store.continuity"
KEEPERS = "orchestrator.simulate.keepers"
POSITIONS = "sites.replication.positions"
HOSTS = "orchestrator.simulate.hosts"
REJOINS = "orchestrator.simulate.rejoins"
WORLD = "orchestrator.simulate.world"


class Mutant(NamedTuple):
    """A weakened rule. `rule`: its name, and those of the covers that go with it. `families`: where to look."""

    rule: str
    name: str
    words: str
    edits: tuple[Edit, ...]
    families: tuple[str, ...] = ()


NO_WORD = (
    (STATE, "    word_needed: bool = True", "    word_needed: bool = False"),
    (
        REGISTRATION,
        "    if not state.registered or state.word_needed:\n        return []\n    ended",
        "    if True:\n        return []\n    ended",
    ),
)
"""P32 taken out: a lease that ended costs nothing but time."""

ALWAYS_IN_TOUCH = (
    STATE,
    "        return not has_passed(self.store_answered_ns + self.timing.lease_duration_ns, now_ns)",
    "        return True",
)
"""P9: how long the store did not answer counts for nothing; a keeper that starts has not been answered yet."""

GUARD_HAS_TAKEN_IT = (
    "        if service.guard is not None and _is_automatic(state, name) and not service.guard.automatic:"
)

GUARDS_SAY_SO = (STATE, "            or any(guard.certified for guard in guards)\n", "")
"""The peer is told of glass as long as a guard here says that a certificate keeps it open."""

BEGUN_IS_NOTED = (
    STATE,
    "        glass_in_question=frozenset(glass.service for glass in note.glass if glass.reconciling),\n",
    "",
)
"""A keeper that starts asks the store whether glass whose reconciliation had begun still counts."""


NEVER_DARK = (
    GUARDING,
    "    alone = now_ns >= state.deadline_ns\n",
    "    alone = now_ns >= state.deadline_ns\n    return False\n",
)
"""P32: that all was closed while hold alone entitled costs nothing."""


def _mutant(rule: str, name: str, words: str, families: str, *edits: tuple[str, str, str]) -> Mutant:
    return Mutant(rule, name, words, tuple(Edit(*edit) for edit in edits), tuple(families.split()))


MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        "P1",
        "a hung decider keeps its lease",
        "the controller hangs for ever, its keeper renews for ever: nobody takes over",
        "dead",
        (
            STATE,
            "        return not has_passed(self.last_turn_ns + self.timing.lease_duration_ns // 2, now_ns)",
            "        return True",
        ),
    ),
    _mutant(
        "P2",
        "the deadline counts from the reply",
        "committed at once, answered late: the holder's deadline lies after the taker's wait",
        "lease edge",
        (
            REGISTRATION,
            "        adopt(state, SiteItem(message.revision, sent), now_ns)\n",
            "        adopt(state, SiteItem(message.revision, sent), now_ns)\n        earn(state, now_ns)\n",
        ),
    ),
    _mutant(
        "P3",
        "the deadline counts from the read that found the beat",
        "an old beat, read late, earns a whole lease",
        "lease edge",
        (
            REGISTRATION,
            "        # The refused beat earned nothing; send one that can, at once.\n",
            "        earn(state, now_ns)\n",
        ),
    ),
    _mutant(
        "P4 P32",
        "a revoked keeper keeps its view",
        "it registers again and still believes that it is primary",
        "edge lease",
        (
            REGISTRATION,
            "        if drop is None or name in drop:\n            service.known = False\n            service.item = None\n    if state",
            "        if drop is not None and name in drop:\n            service.known = False\n            service.item = None\n    if state",
        ),
        *NO_WORD,
    ),
    _mutant(
        "P4 P32",
        "the services are read before the key",
        "they say the holder's name, then the taker takes over, then the key is taken again",
        "edge restarts lease",
        (
            REGISTRATION,
            "(2): read after (1), not before\n    return read_own_key(state, now_ns)",
            "(2): read after (1), not before\n    return [ReadServices(state.registration + 1), *read_own_key(state, now_ns)]",
        ),
        (
            REGISTRATION,
            "    if message.registration != state.registration or state.phase is not Phase.READING_SERVICES:\n        return []\n",
            "    if message.registration < state.registration:\n        return []\n",
        ),
        (
            REGISTRATION,
            "    state.phase = Phase.ACTIVE\n    return []\n",
            "    if state.phase is Phase.READING_SERVICES:\n        state.phase = Phase.ACTIVE\n    return []\n",
        ),
        (
            REGISTRATION,
            "    state.phase = Phase.READING_SERVICES\n    state.read_again_at_ns = now_ns + state.timing.renew_every_ns\n    return [ReadServices(state.registration)]",
            "    if all(service.known for service in state.services.values()):\n        state.phase = Phase.ACTIVE\n        return []\n    state.phase = Phase.READING_SERVICES\n    state.read_again_at_ns = now_ns + state.timing.renew_every_ns\n    return [ReadServices(state.registration)]",
        ),
        (
            REGISTRATION,
            "        return read_own_key(state, now_ns) if now_ns >= state.read_again_at_ns else []",
            "        if now_ns < state.read_again_at_ns:\n            return []\n        return [ReadServices(state.registration + 1), *read_own_key(state, now_ns)]",
        ),
        *NO_WORD,
    ),
    _mutant(
        "P4",
        "a pause of unknown outcome costs the view of its service",
        "it was sent as the store was being lost: the service is cut off, and the other site gets no promise",
        "outage held",
        (
            ASKING,
            "    if outstanding.registration != state.registration or outstanding.neutral:\n",
            "    if outstanding.registration != state.registration:\n",
        ),
    ),
    _mutant(
        "P5",
        "an older view replaces a newer one",
        "a late watch brings back what was true before the takeover",
        "moves",
        (
            REGISTRATION,
            "    if service.item is None or item.revision > service.item.revision:\n        take_view",
            "    if True:\n        take_view",
        ),
    ),
    _mutant(
        "P6",
        "the right does not end with the deadline",
        "a holder without a lease answers its guard yes",
        "lease",
        (STATE, "            and (now_ns < self.deadline_ns or self.hold_relied)\n", ""),
        (
            GUARDING,
            "        left_ns = max(0, state.deadline_ns - now_ns)\n",
            "        left_ns = state.timing.lease_duration_ns\n",
        ),
        (
            REGISTRATION,
            "    if not state.registered or state.word_needed:\n        return []\n    ended",
            "    if True:\n        return []\n    ended",
        ),
    ),
    _mutant(
        "P7 P19",
        "the fence begins at the deadline, not D before it",
        "the taker takes over while the cut is under way",
        "edge lease guards",
        (LEASE, "    return deadline_ns - timing.fence_within_ns", "    return deadline_ns"),
        (
            GUARD,
            "    return state.deadline_ns is not None and now_ns < state.deadline_ns - state.fence_within_ns",
            "    return state.deadline_ns is not None and now_ns < state.deadline_ns",
        ),
    ),
    _mutant(
        "P8",
        "t_seen is when the read was sent, not when it came back",
        "the holder renews between the two",
        "edge lease",
        (
            REGISTRATION,
            "        state.peer_seen_ns = now_ns\n",
            "        state.peer_seen_ns = min(now_ns, state.last_sent_ns)\n",
        ),
    ),
    _mutant(
        "P9",
        "the taker does not allow for clock rates",
        "its clock is fast: T of its seconds pass before T of the holder's",
        "edge lease",
        (
            LEASE,
            "    return lease_duration_ns + ceil(lease_duration_ns * clock_drift)",
            "    return lease_duration_ns",
        ),
    ),
    _mutant(
        "P9",
        "at the instant, not strictly after it",
        "two clocks that show whole ticks: the holder's last tick is not over",
        "edge",
        (LEASE, "    return now_ns > instant_ns", "    return now_ns >= instant_ns"),
    ),
    _mutant(
        "P9",
        "no wait at all",
        "the taker takes over a holder that lives",
        "mixed",
        (ASKS, "    if earliest is None or not has_passed(earliest, now_ns):", "    if earliest is None:"),
    ),
    _mutant(
        "P9",
        "the taker's own T counts, not the one that the revision carries",
        "T is being changed, and the holder's is longer",
        "change",
        (
            STATE,
            "takeover_after(seen_ns, self.peer_item.record.lease_duration_ns, self.timing.clock_drift)",
            "takeover_after(seen_ns, self.timing.lease_duration_ns, self.timing.clock_drift)",
        ),
        (
            PROMISE,
            "    until_ns = now_ns + wait_of(message.lease_duration_ns, state.timing.clock_drift)",
            "    until_ns = now_ns + wait_of(state.timing.lease_duration_ns, state.timing.clock_drift)",
        ),
    ),
    _mutant(
        "P9",
        "clocks further apart than is reckoned with stop nobody",
        "the taker's clock runs fast, and the end of the other site's lease is not proven",
        "clocks",
        (CONDITIONS, "    lambda v, s: bool(v.clocks_beyond),\n", "    lambda v, s: False,\n"),
    ),
    _mutant(
        "P9 P32",
        "no wait after the start, and what was seen outlives it",
        "a promise was given, the keeper started anew, and knows nothing of it",
        "vows restarts promises",
        (
            STATE,
            "            self.started_at_ns + wait_of(self.timing.lease_duration_ns, self.timing.clock_drift),\n",
            "",
        ),
        (
            WORLD,
            "        # P9: nothing is handed over to a fresh keeper; it must see and wait afresh.\n",
            "        if here.keepers:\n            state.peer_item = here.keepers[-1].state.peer_item\n            state.peer_seen_ns = here.keepers[-1].state.peer_seen_ns\n",
        ),
        ALWAYS_IN_TOUCH,
        *NO_WORD,
    ),
    _mutant(
        "P10 P32",
        "the takeover does not compare the peer's key",
        "the holder renews between the decision and the commit",
        "edge lease",
        (ASKING, "        compares.append(Compare(SITES + state.peer, state.peer_item.revision))\n", ""),
        *NO_WORD,
    ),
    _mutant(
        "P10 P32",
        "the peer's key is not revoked",
        "after the takeover the old holder renews as if nothing had been",
        "edge lease",
        (
            ASKING,
            "encode(replace(state.peer_item.record, revoked=True, hold=False))",
            "encode(replace(state.peer_item.record, hold=False))",
        ),
        *NO_WORD,
    ),
    _mutant(
        "P10",
        "the services are not compared",
        "both sites claim what nobody owns",
        "moves",
        (ASKING, "        compares.append(Compare(SERVICES + name, item.revision if item else 0))\n", ""),
    ),
    _mutant(
        "P10 P12",
        "the writer's own key is not compared",
        "a takeover or give-up of before a restart is committed a minute later",
        "late",
        (
            ASKING,
            "    compares = [Compare(SITES + state.site, state.own_revision)]\n",
            "    compares: list[Compare] = []\n",
        ),
    ),
    _mutant(
        "P11",
        "'we revoked it' holds for newer revisions too",
        "the holder has registered again, and the second service is taken without a wait",
        "two",
        (
            STATE,
            "        if self.peer_item.record.revoked and self.peer_item.revision == self.peer_revoked_revision:",
            "        if self.peer_revoked_revision:",
        ),
    ),
    _mutant(
        "P11",
        "a takeover that a certificate let through counts as the wait",
        "the host of a manual service is off; an automatic one of the same site is taken beside it, and lives",
        "hosts",
        (ASKING, "        if ours and outstanding.waited:\n", "        if ours:\n"),
    ),
    _mutant(
        "P13 P32",
        "a renewal goes on over a revoked key",
        "the flag is gone, and the old view stands",
        "mixed lease",
        (REGISTRATION, "    if record.revoked or beat is None:", "    if beat is None:"),
        *NO_WORD,
    ),
    _mutant(
        "P14",
        "a running promise is not looked at",
        "takeover while the peer lives on our word",
        "vows promises",
        (STATE, "            self.promised_until_ns,\n", ""),
    ),
    _mutant(
        "P14",
        "the promise does not allow for clock rates",
        "the taker's clock is fast",
        "vows",
        (
            PROMISE,
            "    until_ns = now_ns + wait_of(message.lease_duration_ns, state.timing.clock_drift)",
            "    until_ns = now_ns + message.lease_duration_ns",
        ),
    ),
    _mutant(
        "P14",
        "a promise counts from its answer",
        "asked for at once, answered late",
        "vows",
        (
            OWNERSHIP,
            "        registration.earn(state, sent_at_ns)\n",
            "        registration.earn(state, now_ns)\n",
        ),
    ),
    _mutant(
        "P15 P32",
        "a promise while a takeover is on its way",
        "takeover sent, promise given, takeover committed",
        "vows promises",
        (PROMISE, "    if state.unsettled:\n        return", "    if False:\n        return"),
        *NO_WORD,
    ),
    _mutant(
        "P15 P32",
        "a promise though the peer's key is revoked",
        "the peer, cut off from the store, serves on beside us",
        "vows promises",
        (
            PROMISE,
            "    if item is None or item.record.revoked:\n        return None\n",
            "    if item is None:\n        return None\n",
        ),
        (PROMISE, "        and peer.record.revoked\n", "        and False\n"),
        (PROMISE, "    if state.unsettled:\n        return", "    if False:\n        return"),
        *NO_WORD,
    ),
    _mutant(
        "P15 P32",
        "a keeper that has just started promises",
        "its predecessor took over",
        "vows promises",
        (
            PROMISE,
            "    if not state.registered:\n        return _refusal_on_note(state, message)\n",
            "    if not state.registered:\n        return None\n",
        ),
        *NO_WORD,
    ),
    _mutant(
        "P16 P32",
        "the note is not cleared before a takeover is sent",
        "takeover, restart, and the note lets the fresh keeper promise",
        "vows promises restarts",
        (
            ASKING,
            "        if isinstance(verdict, Do) and verdict.revoke_peer and not noting.peer_is_clear(state):",
            "        if False:",
        ),
        *NO_WORD,
    ),
    _mutant(
        "P16",
        "no note",
        "the store is out, the promising keeper restarts, and a healthy site is fenced",
        "outage",
        (PROMISE, "        if not note.peer_incarnation:", "        if True:"),
    ),
    _mutant(
        "P18",
        "the guard's deadline counts from the answer's arrival",
        "the answer was late",
        "guards edge lease",
        (
            GUARD,
            "        state.deadline_ns = waiting.asked_ns + waiting.remaining_ns\n",
            "        state.deadline_ns = now_ns + waiting.remaining_ns\n",
        ),
    ),
    _mutant(
        "P18",
        "the guard is told T, whatever is left",
        "the lease ends before",
        "guards lease",
        (
            GUARDING,
            "        left_ns = max(0, state.deadline_ns - now_ns)\n",
            "        left_ns = state.timing.lease_duration_ns\n",
        ),
    ),
    _mutant(
        "P19",
        "a host boots open",
        "its site was taken over meanwhile",
        "guards",
        (
            HOSTS,
            "        self.clock = clock\n        self.gate_until_ns = SHUT\n",
            "        self.clock = clock\n        self.gate_until_ns = FOREVER\n",
        ),
    ),
    _mutant(
        "P19",
        "no guard: nothing closes at the deadline",
        "a stopped keeper cannot fence",
        "lease guards",
        (
            GUARD,
            '    if state.open and _enforced(state) and not _in_time(state, now_ns):\n        _close(state, "the deadline is near and no answer has moved it", orders)\n',
            "    return\n",
        ),
        (
            HOSTS,
            "        if self.guard is None or not self.gated:\n            return self.guard is None or self.gate_until_ns != SHUT\n        return self.clock.read(self.world.now_ns) < self.gate_until_ns",
            "        return self.guard is None or self.gate_until_ns != SHUT",
        ),
    ),
    _mutant(
        "P20",
        "an order to fence does not drop the outstanding question",
        "an answer of before the give-up opens it again",
        "moves guards",
        (
            GUARD,
            "        state.question = None\n        state.waiting = None\n        state.deadline_ns = None\n        state.certified = None\n        if message.number",
            "        state.certified = None\n        if message.number",
        ),
    ),
    _mutant(
        "P21",
        "a guard listens to an older keeper",
        "the spare gave the service up; the one before wakes and lets it open",
        "spares",
        (GUARD, "    if incarnation < state.highest.incarnation:", "    if False:"),
        (GUARD, "    if epoch is not None and epoch < state.highest.epoch:", "    if False:"),
    ),
    _mutant(
        "P22",
        "no gate that closes by itself",
        "a paused host resumes, and its database writes before its guard runs",
        "guards pauses",
        (
            HOSTS,
            "        return self.clock.read(self.world.now_ns) < self.gate_until_ns",
            "        return self.gate_until_ns != SHUT",
        ),
    ),
    _mutant(
        "P23",
        "given up without a fence",
        "nobody owns it, the other site claims it, and it is still open",
        "moves",
        (
            ASKING,
            "    proven = service.giving_up and guarding.cut_off(state, name, now_ns)\n    return not (proven and noting.hold_is_clear_of(state, name))",
            "    return False",
        ),
    ),
    _mutant(
        "P23",
        "guards are answered yes while it is given up",
        "the answer opens it again",
        "moves guards",
        (
            STATE,
            "            and not state.giving_up\n            and not self.word_needed",
            "            and not self.word_needed",
        ),
    ),
    _mutant(
        "P23",
        "a give-up of unknown outcome changes nothing",
        "it is served again, and the late give-up is committed",
        "late",
        (
            ASKING,
            "    return register(state, now_ns, drop=frozenset(outstanding.services))\n",
            "    for name in outstanding.services:\n        state.services[name].giving_up = False\n    promise.outcome_known(state)\n    return []\n",
        ),
        (
            ASKING,
            "    compares = [Compare(SITES + state.site, state.own_revision)]\n",
            "    compares: list[Compare] = []\n",
        ),
    ),
    _mutant(
        "P24",
        "a claim of what is owned: undo",
        "the site written as primary was slow, and wakes",
        "moves",
        (
            ASKS,
            '    if record.primary is not None:\n        return Refuse("owned"',
            '    if record.primary is not None and record.movement is Movement.STEADY:\n        return Refuse("owned"',
        ),
    ),
    _mutant(
        "P24",
        "a claim decided before a later give-up",
        "what was written since is lost, and nobody said so",
        "late",
        (ASKS, "    if record.epoch + 1 != what.epoch:", "    if False:"),
    ),
    _mutant(
        "P24",
        "a claim below the final position",
        "acknowledged writes are lost by a switchover",
        "moves",
        (ASKS, "        if there is False:", "        if False:"),
    ),
    _mutant(
        "P25",
        "a claim keeps the epoch",
        "two owners of one epoch",
        "moves",
        (
            ASKS,
            "        epoch=record.epoch + 1,\n        movement=Movement.STEADY if taken_back else Movement.MOVING,",
            "        epoch=record.epoch,\n        movement=Movement.STEADY if taken_back else Movement.MOVING,",
        ),
    ),
    _mutant(
        "P27",
        "automatic is written before the guard fences",
        "the guard still treats it as manual, and it is taken over",
        "modes",
        (
            ASKING,
            "        return guard is not None and not guard.automatic and not _is_automatic(state, what.service)",
            "        return False",
        ),
        (
            ASKING,
            "        orders += guarding.make_automatic(state, what.service, now_ns)\n",
            "        pass\n",
        ),
    ),
    _mutant(
        "P27",
        "the other site makes it automatic",
        "the holder's guard knows nothing of it",
        "modes",
        (
            ASKS,
            "    if mode is Mode.AUTOMATIC and not state.entitled(what.service, now_ns):",
            "    if False:",
        ),
    ),
    _mutant(
        "P27",
        "guards are answered manual until automatic is known to be written",
        "committed, and its reply lost",
        "modes",
        (
            GUARDING,
            "        manual = not service.automatic and not service.made_automatic\n",
            "        manual = not service.automatic\n",
        ),
    ),
    _mutant(
        "P27",
        "the order to fence at the deadline leaves an older answer standing",
        "'manual' arrives after it",
        "modes",
        (
            GUARD,
            "        state.question = None\n        state.waiting = None\n        state.manual = False\n",
            "        state.manual = False\n",
        ),
    ),
    _mutant(
        "P28",
        "manual services are taken by the end of a lease",
        "their guards never fence at a deadline",
        "modes",
        (
            ASKS,
            "        if item.record.mode is Mode.MANUAL and not (what.certified_down or cut_off):",
            "        if False:",
        ),
    ),
    _mutant(
        "P28",
        "a certificate of before the other site held need not cover what it serves",
        "it takes hold out, and what the certificate does not speak of is served without any contact",
        "hosts",
        (POWER, "        if peers and name not in what.covers:\n", "        if False:\n"),
    ),
    _mutant(
        "P29",
        "the guard is told what is left of the lease, whoever relies on hold",
        "both sites hold, the link is lost, and a healthy site is cut off",
        "held",
        (
            GUARDING,
            "            left_ns = max(left_ns, state.timing.lease_duration_ns)\n",
            "            pass\n",
        ),
    ),
    _mutant(
        "P28",
        "devices switch off a site that renews its lease",
        "a healthy site loses its hosts to one that hears badly of it",
        "healthy",
        (
            POWER,
            "    if earliest is not None and has_passed(earliest, now_ns):\n        return Done()",
            "    if True:\n        return Done()",
        ),
    ),
    _mutant(
        "P28",
        "devices are used without a last read of the key",
        "the key was renewed meanwhile: a healthy site loses its hosts",
        "healthy",
        (POWER, "    if pending.peer_read_at != peer.revision:", "    if False:"),
    ),
    _mutant(
        "P28",
        "a cut of one service's hosts is enough while the peer holds",
        "the takeover takes hold out, and what was not switched off serves on",
        "hold",
        (POWER, "        if peers and name not in what.covers:", "        if False:"),
    ),
    _mutant(
        "P28",
        "devices switch off by themselves a site that holds",
        "both sites hold, and each would take the other for lost",
        "held",
        (
            POWER,
            '        if not what.ordered:\n            return Refuse("peer-holds"',
            '        if False:\n            return Refuse("peer-holds"',
        ),
    ),
    _mutant(
        "P28",
        "a verified cut counts for services that it does not cover",
        "the host of a manual service was left on, and nothing else ends it",
        "modes",
        (POWER, "        if name not in what.covers:", "        if False:"),
        (
            ASKS,
            "        cut_off = what.by_device and name in what.covers",
            "        cut_off = what.by_device",
        ),
    ),
    _mutant(
        "P29",
        "the taker does not look at hold",
        "the holder serves on without any contact",
        "hold",
        (ASKS, "    if peer.record.hold:\n        return Refuse(", "    if False:\n        return Refuse("),
    ),
    _mutant(
        "P29",
        "relied on when sent, not when committed",
        "it never was in the store",
        "hold",
        (
            REGISTRATION,
            "    state.last_sent_ns = now_ns\n    if not",
            "    state.last_sent_ns = now_ns\n    state.hold_relied = state.hold_relied or state.hold_carried\n    if not",
        ),
    ),
    _mutant(
        "P29",
        "relied on until the clearing renewal is answered",
        "the taker sees no hold, and waits from there",
        "hold",
        (
            REGISTRATION,
            "        state.hold_relied = False  # P29: it relies no more from before this renewal is sent\n",
            "",
        ),
        (
            HOLDING,
            "        state.hold_relied = False  # P30: first stop relying, then the note, then the renewal without it\n",
            "",
        ),
        (
            NOTING,
            "    if not state.hold_relied or state.word_needed:",
            "    if not state.hold_relied or state.word_needed or state.hold_clearing:",
        ),
    ),
    _mutant(
        "P29",
        "the guard is told of no deadline while the holder relies on hold",
        "the holder stops relying, and the guard does not",
        "hold",
        (
            GUARDING,
            "            left_ns = max(left_ns, state.timing.lease_duration_ns)\n",
            "            left_ns = max(left_ns, 100 * state.timing.lease_duration_ns)\n",
        ),
    ),
    _mutant(
        "P30",
        "the note is not cleared before the clearing renewal",
        "a restarted keeper keeps the guards open on it",
        "hold restarts",
        (
            HOLDING,
            "    noted = any(note.hold_incarnation for note in state.notes_possible)\n",
            "    noted = False\n",
        ),
    ),
    _mutant(
        "P30",
        "a service is not struck from the note before its give-up",
        "a restarted keeper keeps its guard open on it",
        "hold restarts",
        (
            NOTING,
            "    return all(note.holds(service) is None for note in state.notes_possible)",
            "    return True",
        ),
        (GUARDING, "    if epoch is None or not message.open:\n", "    if epoch is None:\n"),
    ),
    _mutant(
        "P30",
        "nothing is kept open on the note",
        "a keeper that relies on hold is started anew without the store, and its site is cut off",
        "held",
        (
            GUARDING,
            "    if epoch is None or not message.open:\n",
            "    if True:\n",
        ),
    ),
    _mutant(
        "P30",
        "the note counts for nothing between the registration and the reading of the services",
        "the store is back, and the keeper that lived on its note fences what it is about to read is its own",
        "held",
        (
            STATE,
            "        unread = self.note_is_keys and self.phase is Phase.READING_SERVICES\n",
            "        unread = False\n",
        ),
    ),
    _mutant(
        "P18",
        "an open guard is not told that the lease was saved at the last moment",
        "it asks at its own pace, and closes before it has heard",
        "restore",
        (GUARDING, "(not guard.open or runs_out)", "(not guard.open)"),
    ),
    _mutant(
        "P23",
        "the fence of a give-up that the watch has shown already forbids the service anew",
        "the site claims it again, and serves it nowhere",
        "dead",
        (
            ASKING,
            "        service.giving_up = not _given_up_already(state, name)\n",
            "        service.giving_up = True\n",
        ),
    ),
    _mutant(
        "P21 P30",
        "hold is cleared before the guards know this incarnation",
        "the keeper before relies on for ever",
        "hold spares",
        (HOLDING, "    if not noted and guarding.all_know(state):", "    if not noted:"),
        (
            REGISTRATION,
            "    state.hold_carried = found is not None and found.record.hold and not found.record.revoked\n",
            "    state.hold_carried = False\n",
        ),
    ),
    _mutant(
        "P31",
        "broken glass is forgotten by a restart",
        "the other site asks, hears 'none here', and opens",
        "glass",
        (STATE, "        glass={glass.service: glass for glass in note.glass},\n", ""),
    ),
    _mutant(
        "P31",
        "the store's word stands above the certificate's",
        "the guard stands on a certificate of that very number, and minds no lease",
        "glass",
        (ASKS, "        epoch=max(record.epoch, glass.epoch) + 1,", "        epoch=record.epoch + 1,"),
        (
            ASKS,
            "    if glass is None or (record.primary == state.site and record.epoch > glass.epoch):",
            "    if glass is None or record.primary == state.site:",
        ),
        (GUARDING, "        and item.record.epoch > glass.epoch\n", ""),
        (ASKING, GUARD_HAS_TAKEN_IT, "        if False:"),
        GUARDS_SAY_SO,
    ),
    _mutant(
        "P31",
        "broken glass ends before the guard has taken a lease's deadline",
        "the guard stands on its certificate while the other site takes over",
        "glass",
        (ASKING, GUARD_HAS_TAKEN_IT, "        if False:"),
        GUARDS_SAY_SO,
    ),
    _mutant(
        "P31",
        "the word that no glass is broken is given before the disk has it",
        "power is lost meanwhile, and what stands on the disk opens it again beside the other site",
        "glass",
        (
            STATE,
            "            or any(note.glass for note in self.notes_possible)\n",
            "",
        ),
        GUARDS_SAY_SO,
        BEGUN_IS_NOTED,
    ),
    _mutant(
        "P31",
        "that a reconciliation was begun is not noted",
        "it was committed, the site was lost and taken over, and comes back with its certificate",
        "glass",
        BEGUN_IS_NOTED,
    ),
    _mutant(
        "P31",
        "nobody asks the guards about certificates",
        "one was carried to a guard by hand while no keeper lived, and the next one says that no glass is broken",
        "hosts",
        GUARDS_SAY_SO,
    ),
    _mutant(
        "P32",
        "the word is given before the guards were heard",
        "one of them is kept open by a certificate that the keeper does not know of yet",
        "hosts",
        (STATE, "        return self.certifiable and not all(", "        return False and not all("),
    ),
    _mutant(
        "P32",
        "hold alone opens what is closed",
        "all hosts of a site that holds were off and certified so, and boot again",
        "hosts",
        NEVER_DARK,
        (
            GUARDING,
            "        by_hold = left_ns == 0 or state.undark is not None\n",
            "        by_hold = False\n",
        ),
    ),
    _mutant(
        "P32",
        "that all was closed while hold alone entitled is forgotten when the lease is back",
        "all hosts were certified as off meanwhile, and boot again",
        "hosts",
        NEVER_DARK,
    ),
    _mutant(
        "P32",
        "a guard of which nothing is known is taken for open",
        "a manual service's host was off while hold alone entitled, and boots when the lease is back",
        "hosts",
        (
            GUARDING,
            "        by_hold = left_ns == 0 or state.undark is not None\n",
            "        by_hold = left_ns == 0\n",
        ),
        (
            GUARDING,
            "    if not ours or (state.undark is None and not alone):\n",
            "    if not ours or not alone:\n",
        ),
    ),
    _mutant(
        "P32",
        "no word of the peer is needed",
        "the peer serves by a certificate, and the store knows nothing of it",
        "glass",
        (STATE, "    word_needed: bool = True", "    word_needed: bool = False"),
        (
            REGISTRATION,
            "    state.word_needed = True\n    state.may_be_unbroken = False\n    state.undark = state.in_doubt_since_ns = None\n    state.word_from_incarnation = 0\n    return register(state, now_ns)",
            "    return []",
        ),
    ),
    _mutant(
        "P32",
        "the peer's word counts though the services were read before",
        "the peer has reconciled and ended its glass in between",
        "glass",
        (
            REGISTRATION,
            "    state.word_needed = False\n    return register(state, now_ns)",
            "    state.word_needed = False\n    return []",
        ),
    ),
    _mutant(
        "P17",
        "the peer's requests reach an older keeper of the site",
        "the spare takes over, and the one before it, which does not know of it, promises",
        "spares",
        (KEEPERS, "        there = keepers[-1]\n", "        there = keepers[0]\n"),
    ),
    _mutant(
        "P26",
        "the host does not refuse a step of an earlier order",
        "a rejoin that was on its way for long makes the owner's instance a standby",
        "moves late mixed",
        (HOSTS, "        if token < self.token:\n            return\n", ""),
    ),
    _mutant(
        "P33",
        "a store that went back in time is believed",
        "the takeover is forgotten, and the old owner opens again",
        "restore",
        (CONTINUITY, "    found = _went_back(known, answer)\n", '    found = ""\n'),
        (
            CONTINUITY,
            "    if known.cluster_id and answer.cluster_id and known.cluster_id != answer.cluster_id:\n",
            "    if False:\n",
        ),
    ),
    _mutant(
        "P9 P33",
        "a store that was out of reach is taken up where it was left",
        "it was put back meanwhile to what the taker saw last, and the holder has renewed since",
        "restore",
        ALWAYS_IN_TOUCH,
    ),
    _mutant(
        "P33",
        "the other site's key is not marked as holding, and modes stay",
        "the backup does not know that it holds, and it serves on without any contact",
        "restore",
        (
            RESTORED,
            "    peer = _peer_key(keys.get(writer.peer), last.get(SITES + writer.peer), writer)\n",
            "    peer = None\n",
        ),
        (
            RESTORED,
            "        mode=Mode.MANUAL,\n",
            "        mode=base.mode if base is not None else Mode.MANUAL,\n",
        ),
    ),
    _mutant(
        "P31 P33",
        "glass is ended by a certificate before the disk says so",
        "the other site takes the service, and who boots with the older note serves by the glass",
        "restore",
        (
            ACCEPTING,
            "        state.glass[name] = replace(glass, reconciling=True)\n",
            "        state.glass[name] = replace(glass, reconciling=False)\n",
        ),
        (
            ACCEPTING,
            "    return all(noting.reconciliation_is_noted(state, name) for name in state.glass)",
            "    return True",
        ),
    ),
    _mutant(
        "P4 P32 P33",
        "who accepts a store keeps what it read in the former one",
        "a takeover that it had not heard of was certified, and it believes that it is primary",
        "restore",
        (
            ACCEPTING,
            "    return [*replies, *register(state, now_ns)]",
            "    return [*replies, *register(state, now_ns, drop=frozenset())]",
        ),
        (
            ACCEPTING,
            "    return ServiceState(\n",
            "    return ServiceState(\n        item=service.item,\n        known=service.known,\n",
        ),
        *NO_WORD,
    ),
    _mutant(
        "gate-3",
        "what the old site may accept until its lease is over is not counted",
        "a failover is ordered, and waits for a lease; what is accepted meanwhile is lost, and was not said",
        "lease two healthy dead",
        (
            GATES,
            "    return max(view.now_ns, over_ns) if over_ns is not None else None\n",
            "    return view.now_ns\n",
        ),
    ),
    _mutant(
        "gate-3",
        "an ordered takeover goes on though the lease was renewed",
        "the other site was heard again, and has been writing since it was said what would be lost",
        "lease mixed restarts promises",
        (
            ASKS,
            "    if what.loss_until_ns and over_ns is not None and over_ns > what.loss_until_ns:\n",
            "    if False:\n",
        ),
    ),
    _mutant(
        "gate-3",
        "everything seen of the primary counts as received",
        "the statement leaves out what was still on its way",
        "lease two healthy dead",
        (
            POSITIONS,
            "            if note.offset_bytes <= offset_bytes and (until_ns is None or note.at_ns <= until_ns):\n",
            "            if until_ns is None or note.at_ns <= until_ns:\n",
        ),
    ),
    _mutant(
        "gate-6",
        "nothing is waited for between two moves",
        "a service is sent back and forth by two controllers, and nobody has looked",
        "decided",
        (GATES, "    if not wish.automatic or not left:\n", "    if True:\n"),
        (
            CONDITIONS,
            "lambda v, s: bool(s.flap_left_seconds)",
            "lambda v, s: False",
        ),
    ),
    _mutant(
        "rejoin",
        "what only the old primary has is not saved",
        "it is overwritten by the rewind",
        "lease mixed moves two",
        (REJOINS, "            self.host.saved.append((common, written))\n", "            pass\n"),
    ),
)
