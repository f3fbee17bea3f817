"""The described catalogue: datasets with their records, filtered for who asks before they are read.

Filtering has two steps. The index of audiences and times (`catalog_tables`) leaves out what an
offer's own terms keep from a participant; the judge is then asked about the offers of one page.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from connector.dsp import healthdcat, healthdcat_shacl, offers, terms
from connector.dsp.catalog_tables import AudienceRow, DatasetRow
from connector.dsp.desk import Desk
from connector.dsp.handling import Handling
from connector.dsp.healthdcat_documents import Record
from connector.dsp.healthdcat_jsonld import Service, dataset
from connector.dsp.healthdcat_nodes import Json
from connector.dsp.healthdcat_shacl import Report
from connector.dsp.judge import Answer, Moment, Question
from connector.dsp.offers import PAGE, Page
from connector.dsp.states import Role
from connector.dsp.tables import OfferRow
from connector.errors import LocalError, RemoteError
from policies.odrl.model import Party, Policy

ANYONE = "*"
_NEXT, _PREVIOUS = "after:", "before:"


@dataclass(frozen=True)
class Offering:
    """An offer of a dataset, how requests for it are handled, and when it is to be seen."""

    policy: Policy
    formats: tuple[str, ...]
    handling: Handling
    not_before: datetime | None = None
    not_after: datetime | None = None


def approved(
    record: Record,
    service: Service,
    formats: Sequence[str],
    validate: Callable[[Json], Report] = healthdcat_shacl.validate,
) -> Json:
    """The Dataset node of a record that may be published.

    Raises `LocalError`: RECORD_INCOMPLETE (the first mandatory element that is missing),
    RECORD_INVALID (the first violation), EXTRA_MISSING.
    """
    for gap in healthdcat.missing(record):
        raise LocalError(
            "RECORD_INCOMPLETE", f"the record of {record.id} lacks {gap.element}", gap.remedy
        )
    node = dataset(record, service, formats)
    for finding in validate(node).findings:
        if finding.severity == "Violation":
            raise LocalError(
                "RECORD_INVALID",
                f"the record of {record.id} is not valid: {finding.message} ({finding.path})",
                "Correct the dataset's description",
            )
    return node


def publish(session: Session, node: Json, offerings: Iterable[Offering], now: datetime) -> None:
    """Show a dataset with exactly these offers; again replaces what was shown."""
    name = node["@id"]
    session.execute(delete(AudienceRow).where(AudienceRow.dataset == name))
    session.merge(DatasetRow(id=name, document=node, published_at=now))
    kept = set()
    for offering in offerings:
        policy = offering.policy
        offers.put(session, name, policy, offering.formats, offering.handling)
        kept.add(policy.uid)
        session.flush()
        session.add_all(
            AudienceRow(
                audience=audience, dataset=name, offer=policy.uid,
                not_before=offering.not_before, not_after=offering.not_after,
            )
            for audience in audiences(policy)
        )  # fmt: skip
    gone = delete(OfferRow).where(OfferRow.dataset == name, OfferRow.id.not_in(kept))
    session.execute(gone)


def withdraw(session: Session, name: str) -> None:
    """Show a dataset no more and take no new requests for it. What was agreed is not touched."""
    session.execute(delete(AudienceRow).where(AudienceRow.dataset == name))
    session.execute(delete(OfferRow).where(OfferRow.dataset == name))
    session.execute(delete(DatasetRow).where(DatasetRow.id == name))


def audiences(policy: Policy) -> tuple[str, ...]:
    """Who an offer is for: the participants that it names; anyone, where it names none.

    It may be too wide, since the judge still looks, but never too narrow: a collection of
    participants or a rule for other assignees makes it for anyone.
    """
    scopes = [policy.scope, *(rule.scope for rule in policy.permissions)]
    named = [party for scope in scopes for party in scope.assignees]
    everyone = not policy.scope.assignees and any(
        not rule.scope.assignees for rule in policy.permissions
    )
    names = tuple(dict.fromkeys(party.uid for party in named if isinstance(party, Party)))
    return (ANYONE,) if everyone or len(names) < len(set(named)) or not names else names


class DescribedDatasets:
    """An `offers.Catalogue` of records. Datasets come in the order of their ids."""

    def __init__(self, desk: Desk, page: int = PAGE) -> None:
        self._desk = desk
        self._page = page

    def page(self, participant: str, continuation: str) -> Page:
        """See `offers.Catalogue`."""
        backwards, place = _place(continuation)
        names = select(AudienceRow.dataset).where(*self._visible(participant)).distinct()
        if backwards:
            names = names.where(AudienceRow.dataset < place).order_by(AudienceRow.dataset.desc())
        else:
            names = names.where(AudienceRow.dataset > place).order_by(AudienceRow.dataset)
        with self._desk.store.read() as session:
            found = list(session.scalars(names.limit(self._page + 1)))
            more, found = len(found) > self._page, sorted(found[: self._page])
            nodes = self._nodes(session, participant, found)
        before, after = (more, bool(found)) if backwards else (bool(place), more)
        return Page(
            self._judged(participant, nodes),
            next=_NEXT + found[-1] if found and after else "",
            previous=_PREVIOUS + found[0] if found and before else "",
        )

    def dataset(self, participant: str, dataset: str) -> dict[str, Any] | None:
        """See `offers.Catalogue`."""
        with self._desk.store.read() as session:
            nodes = self._nodes(session, participant, [dataset])
        shown = self._judged(participant, nodes)
        return shown[0] if shown else None

    def _visible(self, participant: str) -> tuple[ColumnElement[bool], ...]:
        now = self._desk.clock()
        return (
            AudienceRow.audience.in_((ANYONE, participant)),
            or_(AudienceRow.not_before.is_(None), AudienceRow.not_before <= now),
            or_(AudienceRow.not_after.is_(None), AudienceRow.not_after > now),
        )

    def _nodes(
        self, session: Session, participant: str, names: list[str]
    ) -> list[tuple[DatasetRow, list[OfferRow]]]:
        rows = session.scalars(
            select(DatasetRow).where(DatasetRow.id.in_(names)).order_by(DatasetRow.id)
        )
        found: dict[str, tuple[DatasetRow, list[OfferRow]]] = {row.id: (row, []) for row in rows}
        seen = select(AudienceRow.offer).where(
            AudienceRow.dataset.in_(names), *self._visible(participant)
        )
        offered = select(OfferRow).where(OfferRow.id.in_(seen)).order_by(OfferRow.id)
        for offer in session.scalars(offered):
            found[offer.dataset][1].append(offer)
        return list(found.values())

    def _judged(
        self, participant: str, nodes: list[tuple[DatasetRow, list[OfferRow]]]
    ) -> list[Json]:
        shown = []
        for row, offered in nodes:
            policies = [
                offer.policy for offer in offered if self._may_see(participant, row.id, offer)
            ]
            if policies:
                shown.append({**row.document, "hasPolicy": policies})
        return shown

    def _may_see(self, participant: str, dataset: str, offer: OfferRow) -> bool:
        question = Question(
            Moment.CATALOGUE, Role.PROVIDER, participant, dataset, terms.stored(offer.policy)
        )
        return self._desk.judge(question).answer is not Answer.DENY


def _place(continuation: str) -> tuple[bool, str]:
    """Whether to go backwards, and from where."""
    if continuation.startswith(_PREVIOUS):
        return True, continuation.removeprefix(_PREVIOUS)
    if continuation.startswith(_NEXT) or not continuation:
        return False, continuation.removeprefix(_NEXT)
    raise RemoteError("DSP_CONTINUATION", "the continuation is not one of this catalogue")
