"""The coordinator's approved results, and their labels, in its data space: offered and pulled.

`Released` is all that transfers can take bytes from: it knows `releases.approved` and nothing else.
"""

import io
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.routing import Route

from connector.audit import entries
from connector.dsp import catalog, pulls
from connector.dsp import healthdcat_terms as iri
from connector.dsp.artefacts import Artefact, Pulled
from connector.dsp.catalog import Offering
from connector.dsp.catalog_tables import DatasetRow
from connector.dsp.desk import HTTP_PULL, Desk
from connector.dsp.handling import AUTOMATIC, PERSON, Handling
from connector.dsp.healthdcat_jsonld import Service, plain_dataset
from connector.dsp.healthdcat_nodes import Json, day, text
from connector.dsp.http import PATH
from connector.dsp.judge import Answer, Question, Verdict
from connector.identity import documents
from connector.store import JobRow, PermitRow, ReleaseRow
from coordinator import releases
from coordinator.office import Office
from coordinator.recorder import Record
from policies import canonical
from policies.odrl.model import Action, Constraint, Permission, Policy, Scope
from policies.odrl.terms import ODRL, PURPOSE, Iri, Operator, PolicyKind
from policies.permit import Permit

_NAMED = "sha256:"


class Released:
    """The `connector.dsp.artefacts.Artefacts` of a coordinator."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def find(self, digest: str) -> Artefact | None:
        """An approved model or its label. Raises `LocalError` of the store, `OSError`."""
        row = self.row_of(digest)
        if row is None:
            return None
        if row.subject_digest == digest:
            return self._model(row)
        content = row.label.encode()
        return Artefact(digest, len(content), "application/json", partial(io.BytesIO, content))

    def row_of(self, digest: str) -> ReleaseRow | None:
        """The approved release that this is the digest of, or of whose label."""
        for row in releases.approved(self._office):
            if digest in (row.subject_digest, _label_digest(row)):
                return row
        return None

    def _model(self, row: ReleaseRow) -> Artefact:
        path = releases.model_path(self._office, row.job_id)

        def opening() -> BinaryIO:
            return path.open("rb")

        size = path.stat().st_size
        return Artefact(row.subject_digest, size, "application/octet-stream", opening)


def artefact_routes(
    office: Office, desk: Desk, executor: Executor, record: Record, path: str = PATH
) -> list[Route]:
    """Where approved results are pulled, for `connector.dsp.http.Surface.application(more)`."""
    return pulls.artefact_routes(desk, Released(office), executor, _logged(record), path)


def verdict(office: Office, question: Question) -> Verdict:
    """The judge's word where we provide: there is only what is approved, now."""
    if Released(office).row_of(question.dataset) is None:
        return Verdict(Answer.DENY, ("RELEASE_UNKNOWN",))
    return Verdict(Answer.ALLOW)


def publish(office: Office, desk: Desk, handling: Handling = PERSON) -> None:
    """Offer what is approved now in the catalogue, and nothing else that was.

    `handling` is of requests for results; a label is anybody's. What stands there already and is
    still approved is left alone. Raises `LocalError` of the store.
    """
    rows = releases.approved(office)
    wanted = {name: row for row in rows for name in (row.subject_digest, _label_digest(row))}
    with desk.store.read() as session:
        query = select(DatasetRow.id).where(DatasetRow.id.startswith(_NAMED))
        shown = set(session.scalars(query))
    if wanted.keys() == shown:
        return
    permits = _permits(office)
    service = Service(f"{desk.address}#service", desk.address)

    def work(session: Session) -> None:
        for name in sorted(shown - wanted.keys()):
            catalog.withdraw(session, name)
        for name in sorted(wanted.keys() - shown):
            row = wanted[name]
            if name == row.subject_digest:
                node, permission = _result(row, service), _for(permits[row.job_id])
            else:
                node, permission = _label(row, service), _for(None)
            uid = f"urn:commensal:offer:{name}"
            policy = Policy(uid, PolicyKind.OFFER, permissions=(permission,))
            how = handling if name == row.subject_digest else AUTOMATIC
            offering = Offering(policy, (HTTP_PULL,), how)
            catalog.publish(session, node, [offering], desk.clock())

    desk.transact(work)


def _permits(office: Office) -> dict[str, Permit]:
    """By job."""
    query = select(JobRow.id, PermitRow.document).join(PermitRow, PermitRow.id == JobRow.permit_id)
    with office.store.read() as session:
        found = list(session.execute(query))
    return {job: documents.verify(signed, Permit, office.key.verify_key) for job, signed in found}


def _for(permit: Permit | None) -> Permission:
    """A result is for the purpose of the permit under which it was made (Art. 61)."""
    constraints = () if permit is None else (
        Constraint(PURPOSE, Operator.IS_A, Iri(permit.purpose)),
    )  # fmt: skip
    return Permission(Scope(actions=(Action(ODRL + "use"),)), constraints)


def _result(row: ReleaseRow, service: Service) -> Json:
    label = {
        "@type": f"{iri.DQV}QualityCertificate",
        f"{iri.DCT}identifier": [_label_digest(row)],
        f"{iri.DCT}issued": [day(row.made_at.date())],
        f"{iri.OA}motivatedBy": [{"@id": f"{iri.DQV}qualityAssessment"}],
        f"{iri.OA}hasBody": [{"@id": _label_digest(row)}],
    }
    about = _about(row, row.subject_digest, f"Result of job {row.job_id}")
    return (
        plain_dataset(row.subject_digest, service, (HTTP_PULL,))
        | about
        | {f"{iri.DQV}hasQualityAnnotation": [label]}
    )


def _label(row: ReleaseRow, service: Service) -> Json:
    name = _label_digest(row)
    about = _about(row, name, f"Label of the result of job {row.job_id}")
    return plain_dataset(name, service, (HTTP_PULL,)) | about


def _about(row: ReleaseRow, name: str, title: str) -> Json:
    return {
        f"{iri.DCT}identifier": [name],
        f"{iri.DCT}title": [text(title, "en")],
        f"{iri.DCT}issued": [day(row.made_at.date())],
    }


def _label_digest(row: ReleaseRow) -> str:
    """The name of a label as an artefact: of the signed document's bytes."""
    return canonical.digest(row.label.encode())


def _logged(record: Record) -> Callable[[Pulled], None]:
    def note(pulled: Pulled) -> None:
        record(
            entries.Pulled(
                time=pulled.time, artefact=pulled.artefact, recipient=pulled.counterparty,
                transfer=pulled.transfer, agreement=pulled.agreement, first=pulled.first,
                size=pulled.size,
            )
        )  # fmt: skip

    return note
