"""What this side offers, straight from the table of offers, and the seam for a richer catalogue."""

from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.dsp import terms
from connector.dsp.desk import Desk
from connector.dsp.handling import Handling
from connector.dsp.judge import Answer, Moment, Question
from connector.dsp.messages import DataService, Dataset, Distribution
from connector.dsp.states import Role
from connector.dsp.tables import OfferRow
from connector.errors import RemoteError
from policies.odrl.model import Policy

PAGE = 100
_NEXT, _PREVIOUS = "after:", "before:"


@dataclass(frozen=True)
class Page:
    """Some of the datasets, in a fixed order; `next` and `previous` continue, if not empty."""

    datasets: list[dict[str, Any]]
    next: str = ""
    previous: str = ""


class Catalogue(Protocol):
    """Where `http` takes its catalogue from: only what a participant may see."""

    def page(self, participant: str, continuation: str) -> Page:
        """Raises `RemoteError` (DSP_CONTINUATION) for a continuation that is not ours."""

    def dataset(self, participant: str, dataset: str) -> dict[str, Any] | None:
        """One dataset; None if there is none that the participant may see."""


def put(
    session: Session, dataset: str, policy: Policy, formats: tuple[str, ...], handling: Handling
) -> None:
    """Offer a dataset, or change the offer of that id. Raises `PolicyError` (cannot be written)."""
    session.merge(
        OfferRow(
            id=policy.uid, dataset=dataset, policy=terms.spell(terms.without_target(policy)),
            formats=list(formats), handling=handling.model_dump(mode="json"),
        )
    )  # fmt: skip


class OfferedDatasets:
    """A `Catalogue` of ids, offers and formats, without descriptions."""

    def __init__(self, desk: Desk, page: int = PAGE) -> None:
        self._desk = desk
        self._page = page

    def page(self, participant: str, continuation: str) -> Page:
        """See `Catalogue`."""
        names = select(OfferRow.dataset).distinct()
        backwards = continuation.startswith(_PREVIOUS)
        if backwards:
            place = continuation.removeprefix(_PREVIOUS)
            names = names.where(OfferRow.dataset < place).order_by(OfferRow.dataset.desc())
        elif continuation.startswith(_NEXT) or not continuation:
            place = continuation.removeprefix(_NEXT)
            names = names.where(OfferRow.dataset > place).order_by(OfferRow.dataset)
        else:
            raise RemoteError("DSP_CONTINUATION", "the continuation is not one of this catalogue")
        with self._desk.store.read() as session:
            found = list(session.scalars(names.limit(self._page + 1)))
            more, found = len(found) > self._page, sorted(found[: self._page])
            offers = self._offers(session, found)
        shown = [self._describe(participant, name, offers[name]) for name in found]
        return Page(
            [dataset for dataset in shown if dataset is not None],
            next=_NEXT + found[-1] if found and (more or backwards) else "",
            previous=_PREVIOUS + found[0] if found and (place if not backwards else more) else "",
        )

    def dataset(self, participant: str, dataset: str) -> dict[str, Any] | None:
        """See `Catalogue`."""
        with self._desk.store.read() as session:
            offers = self._offers(session, [dataset])
        return self._describe(participant, dataset, offers[dataset])

    def _offers(self, session: Session, datasets: list[str]) -> dict[str, list[OfferRow]]:
        rows = session.scalars(
            select(OfferRow).where(OfferRow.dataset.in_(datasets)).order_by(OfferRow.id)
        )
        offers: dict[str, list[OfferRow]] = {dataset: [] for dataset in datasets}
        for row in rows:
            offers[row.dataset].append(row)
        return offers

    def _describe(
        self, participant: str, dataset: str, offers: list[OfferRow]
    ) -> dict[str, Any] | None:
        visible = [offer for offer in offers if self._may_see(participant, dataset, offer)]
        if not visible:
            return None
        service = DataService(id=f"{self._desk.address}#service", endpoint_url=self._desk.address)
        formats = sorted({name for offer in visible for name in offer.formats})
        return Dataset(
            id=dataset,
            policies=tuple(offer.policy for offer in visible),
            distribution=tuple(
                Distribution(format=name, access_service=service) for name in formats
            ),
        ).spell()

    def _may_see(self, participant: str, dataset: str, offer: OfferRow) -> bool:
        question = Question(
            Moment.CATALOGUE, Role.PROVIDER, participant, dataset, terms.stored(offer.policy)
        )
        return self._desk.judge(question).answer is not Answer.DENY
