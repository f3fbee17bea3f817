"""What the coordinator lets others pull: approved results and their labels, and nothing else."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from desk import NOW, Notes, permit, spec
from sqlalchemy import select

from connector.audit import entries
from connector.dsp import conduct as dsp_conduct
from connector.dsp.artefacts import Pulled
from connector.dsp.authentication import StaticTokens
from connector.dsp.catalog import DescribedDatasets
from connector.dsp.desk import Desk
from connector.dsp.http import Surface
from connector.dsp.judge import allow
from connector.dsp.messages import CONTEXT
from connector.dsp.states import Signal
from connector.dsp.tables import OfferRow, OutboxRow
from connector.identity import documents
from connector.labels.schema import ModelLabel
from connector.store import JobRow, ReleaseRow
from coordinator import artefacts, releases
from coordinator.artefacts import Released
from coordinator.jobs import conduct
from coordinator.jobs.conduct import Ending
from coordinator.jobs.run import Result
from coordinator.jobs.states import JobState
from coordinator.office import Office, create
from policies import canonical

ADDRESS = "https://hdab.example/2025-1"
ANNOTATION = "http://www.w3.org/ns/dqv#hasQualityAnnotation"
BODY = "http://www.w3.org/ns/oa#hasBody"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    opened = replace(Office.open(tmp_path / "hdab"), clock=lambda: NOW)
    opened.issue_permit(permit())
    made = spec()
    conduct.submit(opened, made, "permit-1")
    result = Result(
        parameters=np.array([1.5, -0.25], np.float32), participants=("east", "north", "south"),
        rounds_answered={"east": 3}, evaluations=[],
    )  # fmt: skip
    release = releases.make(opened, made.id, made, permit(), result, Notes().record)
    with opened.store.begin() as session:
        session.get_one(JobRow, made.id).state = JobState.RUNNING
    conduct.finish(opened, made.id, Ending(JobState.FINISHED, release=release), Notes().record)
    yield opened
    opened.close()


def row(office: Office, **changed: Any) -> ReleaseRow:
    with office.store.begin() as session:
        found = session.get_one(ReleaseRow, "job-1")
        for name, value in changed.items():
            setattr(found, name, value)
        return found


def approve(office: Office) -> tuple[str, str]:
    """The digests of the model and of its label."""
    releases.review(office, "job-1", "Dr. A", approve=True)
    found = row(office, logged=True)
    return found.subject_digest, canonical.digest(found.label.encode())


def desk(office: Office) -> Desk:
    return Desk(
        participant="did:web:hdab.example", address=ADDRESS, store=office.store, judge=allow,
        record=lambda _: None, check_address=lambda _: None, clock=office.clock,
    )  # fmt: skip


def shown(office: Office) -> dict[str, dict[str, Any]]:
    page = DescribedDatasets(desk(office)).page("anybody", "")
    return {node["@id"]: node for node in page.datasets}


def test_an_approved_model_and_its_label_are_found_by_their_digests(office: Office) -> None:
    model, label = approve(office)
    path = releases.model_path(office, "job-1")
    found = Released(office).find(model)
    assert found is not None
    with found.open() as file:
        assert file.read() == path.read_bytes()
    assert (found.digest, found.size) == (model, path.stat().st_size)
    assert canonical.digest(path.read_bytes()) == model
    signed = Released(office).find(label)
    assert signed is not None
    with signed.open() as file:
        content = file.read()
    assert (len(content), canonical.digest(content)) == (signed.size, label)
    assert documents.verify(content.decode(), ModelLabel, office.key.verify_key).head.job == "job-1"


def _not_reviewed(_: Office) -> None:
    pass


def _rejected(office: Office) -> None:
    releases.review(office, "job-1", "Dr. A", approve=False)
    row(office, logged=True)


def _not_logged(office: Office) -> None:
    approve(office)
    row(office, logged=False)


def _job_failed(office: Office) -> None:
    approve(office)
    with office.store.begin() as session:
        session.get_one(JobRow, "job-1").state = JobState.FAILED


@pytest.mark.parametrize("state", [_not_reviewed, _rejected, _not_logged, _job_failed])
def test_what_is_not_approved_in_the_log_is_neither_found_nor_offered(
    office: Office, state: Any
) -> None:
    state(office)
    found = row(office)
    for digest in (found.subject_digest, canonical.digest(found.label.encode())):
        assert Released(office).find(digest) is None
    artefacts.publish(office, desk(office))
    assert shown(office) == {}


@pytest.mark.parametrize(
    "name", ["", "job-1", "model.cmf", "../job-1/model.cmf", "coordinator.db", "east/patients"]
)
def test_nothing_is_found_by_another_name_than_its_digest(office: Office, name: str) -> None:
    approve(office)
    assert Released(office).find(name) is None


def test_the_catalogue_shows_both_and_the_result_leads_to_its_label(office: Office) -> None:
    model, label = approve(office)
    artefacts.publish(office, desk(office))
    nodes = shown(office)
    assert nodes.keys() == {model, label}
    (annotation,) = nodes[model][ANNOTATION]
    assert annotation[BODY] == [{"@id": label}]
    assert nodes[model]["distribution"][0]["format"] == "HttpData-PULL"
    (offered,) = nodes[model]["hasPolicy"]
    assert permit().purpose in json.dumps(offered)
    assert ANNOTATION not in nodes[label]


def test_a_result_is_for_a_person_to_give_and_a_label_for_anybody(office: Office) -> None:
    model, label = approve(office)
    artefacts.publish(office, desk(office))
    with office.store.read() as session:
        modes = {one.dataset: one.handling["mode"] for one in session.query(OfferRow)}
    assert modes == {model: "person", label: "automatic"}


def test_what_is_no_longer_approved_is_withdrawn_and_again_changes_nothing(office: Office) -> None:
    model, label = approve(office)
    artefacts.publish(office, desk(office))
    later = replace(office, clock=lambda: NOW + timedelta(days=1))
    artefacts.publish(later, desk(later))
    assert shown(office).keys() == {model, label}
    row(office, state="rejected")
    artefacts.publish(office, desk(office))
    assert shown(office) == {}
    assert Released(office).find(model) is None


def test_a_pull_stands_in_the_log_with_who_what_and_how_much() -> None:
    notes = Notes()
    pulled = Pulled(
        NOW, "did:web:university.example", "urn:uuid:1", "urn:uuid:2", "sha256:01", 5, 10
    )
    artefacts._logged(notes.record)(pulled)
    (entry,) = notes.entries(entries.Pulled)
    assert (entry.recipient, entry.artefact) == ("did:web:university.example", "sha256:01")
    assert (entry.transfer, entry.agreement) == ("urn:uuid:1", "urn:uuid:2")
    assert (entry.first, entry.size) == (5, 10)


# From the catalogue to the bytes


def test_a_hospital_negotiates_for_an_approved_model_and_pulls_it_once_a_person_agrees(
    office: Office,
) -> None:
    model, _ = approve(office)
    notes = Notes()
    ours = replace(desk(office), judge=lambda question: artefacts.verdict(office, question))
    artefacts.publish(office, ours)
    with ThreadPoolExecutor(2) as executor, hospital(office, ours, executor, notes) as ask:
        dataset = ask("GET", f"/catalog/datasets/{model}")
        offered = dataset["hasPolicy"][0] | {"target": model}
        first = {
            "consumerPid": "c-1",
            "offer": offered,
            "callbackAddress": "https://n.example/2025-1",
        }
        negotiation = ask("POST", "/negotiations/request", "ContractRequestMessage", **first)
        pids = {"providerPid": negotiation["providerPid"], "consumerPid": "c-1"}
        pid = pids["providerPid"]
        consider(ours, pid)
        (held,) = dsp_conduct.held(ours)
        assert (held.dataset, held.state) == (model, "REQUESTED")
        dsp_conduct.act(ours, pid, Signal.AGREE)
        place = f"/negotiations/{pid}/agreement/verification"
        ask("POST", place, "ContractAgreementVerificationMessage", **pids)
        dsp_conduct.act(ours, pid, Signal.FINALIZE)
        wanted = {
            "consumerPid": "c-2", "format": "HttpData-PULL",
            "callbackAddress": first["callbackAddress"],
            "agreementId": dsp_conduct.as_it_is(ours, pid).agreement,
        }  # fmt: skip
        transfer = ask("POST", "/transfers/request", "TransferRequestMessage", **wanted)
        dsp_conduct.act(ours, transfer["providerPid"], Signal.START)
        told = said(ours, transfer["providerPid"], "TransferStartMessage")["dataAddress"]
        token = next(
            one["value"] for one in told["endpointProperties"] if one["name"] == "authorization"
        )
        path = urlsplit(told["endpoint"]).path.removeprefix("/2025-1")
        content = ask("GET", path, token=f"Bearer {token}")
        assert content == releases.model_path(office, "job-1").read_bytes()
        (entry,) = notes.entries(entries.Pulled)
        assert (entry.recipient, entry.artefact, entry.size) == ("north", model, len(content))
        row(office, state="rejected")
        assert ask("GET", path, token=f"Bearer {token}") == {"code": "DSP_UNKNOWN"}


def consider(ours: Desk, pid: str) -> None:
    """What the outbox's worker does with a choice."""
    with ours.store.read() as session:
        sequence = session.scalars(select(OutboxRow.sequence).where(OutboxRow.pid == pid)).one()
    dsp_conduct.consider(ours, pid, sequence)


def said(ours: Desk, pid: str, kind: str) -> dict[str, Any]:
    """What the outbox is to tell the peer."""
    query = select(OutboxRow.fields).where(OutboxRow.pid == pid, OutboxRow.type == kind)
    with ours.store.read() as session:
        return session.scalars(query).one()


@contextmanager
def hospital(
    office: Office, ours: Desk, executor: ThreadPoolExecutor, notes: Notes
) -> Iterator[Any]:
    """Asks the coordinator's surface, as the hospital `north` unless it says otherwise."""
    tokens = StaticTokens("north", "north")
    surface = Surface(ours, tokens, DescribedDatasets(ours), executor, lambda: None)
    app = surface.application(artefacts.artefact_routes(office, ours, executor, notes.record))

    def ask(method: str, place: str, kind: str = "", token: str = "north", **fields: Any) -> Any:  # noqa: S107 - of a test
        message = {"@context": [CONTEXT], "@type": kind, **fields} if kind else None

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="https://hdab.example"
            ) as http:
                return await http.request(
                    method, f"/2025-1{place}", json=message, headers={"authorization": token}
                )

        answer = asyncio.run(call())
        is_json = answer.headers["content-type"] == "application/json"
        return answer.json() if is_json else answer.content

    yield ask
