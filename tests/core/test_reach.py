"""Link down, site down, one way only: told apart by what everybody says, and never guessed."""

from itertools import product

import pytest

from orchestrator.core.reach import FRESH_WORD_SECONDS, Finding, Found, Reach, ReachWord, Target, findings

D, M, W = "durham", "morpeth", "derwentside"
ALIVE = {D: True, M: True, W: True}


def words(*said: str, age_seconds: float = 1.0) -> tuple[ReachWord, ...]:
    """`durham>morpeth yes`, `durham>morpeth no`, `durham>morpeth ?`; `durham>@etcd` is a store member."""
    found = []
    for text in said:
        way, answer = text.split()
        observer, target = way.split(">")
        found.append(
            ReachWord(
                observer=observer,
                target=target.removeprefix("@"),
                kind=Target.MEMBER if target.startswith("@") else Target.SITE,
                reached={"yes": True, "no": False, "?": None}[answer],
                age_seconds=age_seconds,
            )
        )
    return tuple(found)


def matrix(d_m: str = "yes", d_w: str = "yes", m_d: str = "yes", m_w: str = "yes", w_d: str = "yes",
           w_m: str = "yes") -> tuple[ReachWord, ...]:  # fmt: skip
    """Durham's row, Morpeth's, the witness's."""
    return words(f"{D}>{M} {d_m}", f"{D}>{W} {d_w}", f"{M}>{D} {m_d}", f"{M}>{W} {m_w}", f"{W}>{D} {w_d}",
                 f"{W}>{M} {w_m}")  # fmt: skip


def told(reach: Reach) -> list[str]:
    return [str(found) for found in findings(reach)]


def test_when_everybody_reaches_everybody_there_is_nothing_to_say() -> None:
    assert told(Reach(matrix(), ALIVE)) == []


def test_a_link_that_is_down_is_told_from_a_site_that_is_down_by_who_else_reaches_it() -> None:
    assert told(Reach(matrix(d_m="no", m_d="no"), ALIVE)) == [
        (
            "link down: derwentside reaches durham and morpeth, which do not reach each other: the link "
            "durham-morpeth is down, the sites are not"
        )
    ]
    assert told(Reach(matrix(d_m="no", m_d="?"), ALIVE)) == [
        (
            "link down: derwentside reaches morpeth, durham does not: the link durham-morpeth is down, the "
            "site is not"
        )
    ]


def test_a_site_that_nobody_reaches_and_that_is_silent_is_down() -> None:
    lost = matrix(d_m="no", w_m="no", m_d="?", m_w="?")
    assert told(Reach(lost, {**ALIVE, M: False})) == [
        (
            "site down: nobody reaches morpeth (durham 1 s ago, derwentside 1 s ago) and it is not heard "
            "through the store"
        )
    ]


def test_a_site_that_nobody_reaches_but_that_renews_its_lease_is_behind_broken_links() -> None:
    found = findings(Reach(matrix(d_m="no", w_m="no", m_d="?", m_w="?"), ALIVE))
    assert [each.finding for each in found] == [Finding.LINK_DOWN, Finding.LINK_DOWN]
    assert found[0].words == (
        "morpeth is heard through the store, durham does not reach it: the link durham-morpeth is down, "
        "the site is not"
    )


def test_what_goes_one_way_only_is_shown_as_that() -> None:
    assert told(Reach(matrix(d_m="no"), ALIVE)) == [
        (
            "one way only: morpeth reaches durham, durham does not reach morpeth: the way from durham to "
            "morpeth is down, neither site is"
        )
    ]


def test_one_observer_alone_cannot_tell_link_from_site() -> None:
    alone = words(f"{D}>{M} no", f"{D}>{W} ?")
    assert told(Reach(alone, {M: False})) == [
        "link down or site down: durham does not reach morpeth (durham 1 s ago): nobody else can be asked"
    ]


def test_what_was_said_long_ago_does_not_count() -> None:
    old = words(f"{W}>{M} yes", age_seconds=FRESH_WORD_SECONDS + 0.1)
    found = findings(Reach(words(f"{D}>{M} no", f"{D}>{W} yes") + old, {M: False}))
    assert [each.finding for each in found] == [Finding.EITHER]
    assert "nothing is known of what derwentside reaches" in found[0].words
    assert told(Reach(words(f"{D}>{M} no", age_seconds=60.0), {M: False})) == []


def test_whether_it_is_silent_must_be_known_too() -> None:
    lost = matrix(d_m="no", w_m="no", m_d="?", m_w="?")
    (found,) = findings(Reach(lost, {}))
    assert found.finding is Finding.EITHER
    assert "whether it is heard through the store is not known" in found.words


def test_an_observer_that_reaches_nobody_speaks_of_itself() -> None:
    (found,) = findings(Reach(words(f"{D}>{M} no", f"{D}>{W} no"), {M: False, W: False}))
    assert found == Found(
        Finding.SELF_CUT_OFF, (D,), "durham reaches no other site, so it knows nothing about them"
    )


def test_two_observers_that_reach_each_other_and_not_the_third_find_it_down() -> None:
    lost = words(f"{D}>{M} yes", f"{M}>{D} yes", f"{D}>{W} no", f"{M}>{W} no")
    (found,) = findings(Reach(lost, {W: False}))
    assert (found.finding, found.about) == (Finding.SITE_DOWN, (W,))


def test_a_member_of_the_store_is_told_apart_from_its_site() -> None:
    all_see = matrix() + words(f"{D}>@etcd-m no", f"{W}>@etcd-m no", f"{M}>@etcd-m no")
    assert told(Reach(all_see, ALIVE)) == [
        "store member down: nobody reaches the store's member etcd-m (durham, derwentside and morpeth tried)"
    ]
    some = matrix() + words(f"{D}>@etcd-m no", f"{W}>@etcd-m yes", f"{M}>@etcd-m yes")
    assert told(Reach(some, ALIVE)) == [
        "observers disagree: derwentside and morpeth reach the store's member etcd-m, durham does not"
    ]


def test_a_member_behind_a_link_or_at_a_site_that_is_down_is_not_told_twice() -> None:
    def of_morpeth(*said: str) -> tuple[ReachWord, ...]:
        return tuple(
            ReachWord(
                observer=word.observer,
                target=word.target,
                kind=word.kind,
                reached=word.reached,
                age_seconds=word.age_seconds,
                of_site=M,
            )
            for word in words(*said)
        )

    link = matrix(d_m="no", m_d="no") + of_morpeth(f"{D}>@etcd-m no", f"{W}>@etcd-m yes")
    assert [found.finding for found in findings(Reach(link, ALIVE))] == [Finding.LINK_DOWN]
    lost = matrix(d_m="no", w_m="no", m_d="?", m_w="?") + of_morpeth(f"{D}>@etcd-m no", f"{W}>@etcd-m no")
    assert [found.finding for found in findings(Reach(lost, {**ALIVE, M: False}))] == [Finding.SITE_DOWN]


def test_disagreement_names_its_targets() -> None:
    assert Reach(matrix(d_m="no"), ALIVE).disagreements() == (M,)
    assert Reach(matrix(), ALIVE).disagreements() == ()


@pytest.mark.parametrize("alive", [True, False, None])
def test_over_every_matrix_a_site_is_called_down_only_if_nobody_reaches_it_and_it_is_silent(
    alive: bool | None,
) -> None:
    answers = ("yes", "no", "?")
    count = 0
    for d_m, d_w, m_d, m_w, w_d, w_m in product(answers, repeat=6):
        count += 1
        reach = Reach(matrix(d_m, d_w, m_d, m_w, w_d, w_m), {D: alive, M: alive, W: alive})
        found = findings(reach)
        for each in found:
            if each.finding is Finding.SITE_DOWN:
                (site,) = each.about
                said = [reach.said(observer, site) for observer in (D, M, W) if observer != site]
                assert said == [False, False]
                assert alive is False
            if each.finding in (Finding.LINK_DOWN, Finding.ONE_WAY):
                one, other = each.about
                no = [(a, b) for a, b in ((one, other), (other, one)) if reach.said(a, b) is False]
                assert any(reach.is_alive(site) for _, site in no)
                assert (each.finding is Finding.ONE_WAY) is (
                    bool(reach.said(one, other) or reach.said(other, one))
                )
        links = [frozenset(each.about) for each in found if len(each.about) == 2]
        assert len(links) == len(set(links)), "one link is told once"
        missed = {
            site
            for site in (D, M, W)
            for observer in (D, M, W)
            if reach.said(observer, site) is False and not reach.cut_off(observer)
        }
        assert missed <= {name for each in found for name in each.about}, "nothing is passed over"
    assert count == 729
