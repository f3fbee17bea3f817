"""Who sees which dataset, page by page; and that what fails is not published."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from described import DECLARED, FORMATS, MEASURED, SERVICE

from connector.dsp import catalog
from connector.dsp.catalog import ANYONE, DescribedDatasets, Offering, audiences
from connector.dsp.desk import Desk
from connector.dsp.handling import AUTOMATIC
from connector.dsp.healthdcat import describe
from connector.dsp.healthdcat_jsonld import dataset, plain_dataset
from connector.dsp.healthdcat_shacl import Finding, Report
from connector.dsp.judge import Answer, Question, Verdict, allow
from connector.errors import LocalError, RemoteError
from connector.store import Store
from policies.odrl.model import Action, Party, PartyCollection, Permission, Policy, Scope
from policies.odrl.terms import ODRL, PolicyKind

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with closing(Store(f"sqlite:///{tmp_path / 'catalogue.db'}")) as store:
        yield Desk(
            participant="north",
            address="https://north.example/dsp",
            store=store,
            judge=allow,
            record=lambda _: None,
            check_address=lambda _: None,
            clock=lambda: NOW,
        )


def offer(*assignees: str) -> Policy:
    permission = Permission(Scope(actions=(Action(ODRL + "use"),)))
    scope = Scope(assignees=tuple(Party(name) for name in assignees))
    uid = f"urn:uuid:{uuid.uuid4()}"
    return Policy(uid, PolicyKind.OFFER, permissions=(permission,), scope=scope)


def show(desk: Desk, name: str, *policies: Policy, **times: datetime) -> None:
    node = plain_dataset(name, SERVICE, FORMATS)
    offerings = [Offering(policy, FORMATS, AUTOMATIC, **times) for policy in policies]
    desk.transact(lambda session: catalog.publish(session, node, offerings, NOW))


def names(desk: Desk, participant: str) -> list[str]:
    page = DescribedDatasets(desk).page(participant, "")
    assert not page.next
    return [node["@id"] for node in page.datasets]


def test_an_offer_to_anyone_is_seen_by_anyone_and_one_to_a_participant_by_that_one(
    desk: Desk,
) -> None:
    show(desk, "open", offer())
    show(desk, "for-south", offer("south"))
    show(desk, "for-both", offer("south", "west"))
    assert names(desk, "south") == ["for-both", "for-south", "open"]
    assert names(desk, "west") == ["for-both", "open"]
    assert names(desk, "stranger") == ["open"]
    assert DescribedDatasets(desk).dataset("stranger", "for-south") is None


def test_only_the_offers_that_a_participant_may_see_are_shown(desk: Desk) -> None:
    for_all, for_south = offer(), offer("south")
    show(desk, "data", for_all, for_south)

    def ids(participant: str) -> set[str]:
        node = DescribedDatasets(desk).dataset(participant, "data")
        assert node is not None
        return {policy["@id"] for policy in node["hasPolicy"]}

    assert ids("south") == {for_all.uid, for_south.uid}
    assert ids("stranger") == {for_all.uid}


def test_a_participant_named_like_the_wildcard_gains_nothing(desk: Desk) -> None:
    show(desk, "for-south", offer("south"))
    assert names(desk, ANYONE) == []


@pytest.mark.parametrize(
    ("times", "seen"),
    [
        ({"not_before": NOW}, True),
        ({"not_before": NOW + HOUR}, False),
        ({"not_after": NOW + HOUR}, True),
        ({"not_after": NOW}, False),
    ],
)
def test_an_offer_is_seen_in_its_time(desk: Desk, times: dict[str, datetime], seen: bool) -> None:
    show(desk, "data", offer(), **times)
    assert names(desk, "south") == ["data"] * seen


def test_the_judge_has_the_last_word_and_is_asked_about_one_page_only(desk: Desk) -> None:
    asked = []

    def judge(question: Question) -> Verdict:
        asked.append(question.dataset)
        return Verdict(Answer.DENY if question.dataset == "b" else Answer.ALLOW)

    strict = replace(desk, judge=judge)
    for name in "abcde":
        show(strict, name, offer())
    show(strict, "hidden", offer("west"))
    page = DescribedDatasets(strict, page=3).page("south", "")
    assert [node["@id"] for node in page.datasets] == ["a", "c"]
    assert asked == ["a", "b", "c"]


def test_pages_go_forth_and_back_and_hold_each_dataset_once(desk: Desk) -> None:
    for number in range(7):
        show(desk, f"data-{number}", offer(), offer("south"))
    show(desk, "data-3-hidden", offer("west"))
    pages = DescribedDatasets(desk, page=3)
    forth, continuation = [], ""
    while True:
        page = pages.page("south", continuation)
        forth.append([node["@id"] for node in page.datasets])
        if not page.next:
            break
        continuation = page.next
    assert forth == [
        ["data-0", "data-1", "data-2"],
        ["data-3", "data-4", "data-5"],
        ["data-6"],
    ]
    back = [[node["@id"] for node in page.datasets]]
    while page.previous:
        page = pages.page("south", page.previous)
        back.append([node["@id"] for node in page.datasets])
    assert back == forth[::-1]


def test_the_first_page_has_no_previous_and_an_empty_catalogue_no_next(desk: Desk) -> None:
    page = DescribedDatasets(desk).page("south", "")
    assert (page.datasets, page.next, page.previous) == ([], "", "")
    show(desk, "data", offer())
    assert DescribedDatasets(desk).page("south", "").previous == ""


def test_a_continuation_of_somebody_elses_is_refused(desk: Desk) -> None:
    with pytest.raises(RemoteError) as caught:
        DescribedDatasets(desk).page("south", "sideways:data")
    assert caught.value.code == "DSP_CONTINUATION"


def test_publishing_again_replaces_record_and_offers(desk: Desk) -> None:
    show(desk, "data", offer("south"), offer())
    again = offer("west")
    show(desk, "data", again)
    assert names(desk, "south") == []
    node = DescribedDatasets(desk).dataset("west", "data")
    assert node is not None
    assert [policy["@id"] for policy in node["hasPolicy"]] == [again.uid]


def test_what_is_withdrawn_is_gone(desk: Desk) -> None:
    show(desk, "data", offer())
    desk.transact(lambda session: catalog.withdraw(session, "data"))
    assert names(desk, "south") == []


def _ruled(scope: Scope) -> Policy:
    return Policy("urn:1", PolicyKind.OFFER, permissions=(Permission(scope),))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (offer(), (ANYONE,)),
        (offer("south", "west"), ("south", "west")),
        (_ruled(Scope(assignees=(Party("south"),))), ("south",)),
        (_ruled(Scope(assignees=(PartyCollection("members"),))), (ANYONE,)),
        (_ruled(Scope(assignees=(Party("south"), PartyCollection("members")))), (ANYONE,)),
    ],
)
def test_the_index_is_never_narrower_than_the_policy(
    policy: Policy, expected: tuple[str, ...]
) -> None:
    assert audiences(policy) == expected


def test_a_rule_without_an_assignee_opens_an_offer_to_anyone() -> None:
    rules = (Permission(Scope(assignees=(Party("south"),))), Permission(Scope()))
    assert audiences(Policy("urn:1", PolicyKind.OFFER, permissions=rules)) == (ANYONE,)


def _nothing(_: object) -> Report:
    return Report(())


def _violated(_: object) -> Report:
    return Report((Finding("Violation", "x", "dct:title", "a dataset needs a title"),))


def _warned(_: object) -> Report:
    return Report((Finding("Warning", "x", "dct:language", "a language is recommended"),))


@pytest.mark.parametrize("judge", [_nothing, _warned])
def test_a_full_record_is_approved(judge: Callable[[object], Report]) -> None:
    record = describe(DECLARED, MEASURED)
    assert catalog.approved(record, SERVICE, FORMATS, judge) == dataset(record, SERVICE, FORMATS)


def test_a_record_that_lacks_an_element_is_not_approved() -> None:
    record = describe(DECLARED.model_copy(update={"hdab": None}), MEASURED)
    with pytest.raises(LocalError) as caught:
        catalog.approved(record, SERVICE, FORMATS, _nothing)
    assert caught.value.code == "RECORD_INCOMPLETE"
    assert "healthdcatap:hdab" in caught.value.message
    assert "`hdab`" in caught.value.remedy


def test_a_record_that_a_shape_refuses_is_not_approved() -> None:
    with pytest.raises(LocalError) as caught:
        catalog.approved(describe(DECLARED, MEASURED), SERVICE, FORMATS, _violated)
    assert caught.value.code == "RECORD_INVALID"
    assert "a dataset needs a title" in caught.value.message
