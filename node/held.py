"""What waits for a person of the hospital: permits whose policy asks one, and their answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from connector.audit import entries
from connector.audit.standing import Standing
from connector.authoring import instructions, logs
from connector.authoring.instructions import AnswerPermit
from connector.authoring.officers import read_hospital
from connector.authoring.spool import Inbox
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey, VerifyKey
from policies import purposes
from policies.decision import Decision, Verdict
from policies.permit import Permit
from policies.policy import Policy
from policies.request import UsageRequest

_SHORT = 16


@dataclass(frozen=True)
class Asked:
    """A contract that was asked for, with what the policy says of the permit that it shows."""

    time: datetime
    counterparty: str
    waits: bool
    request: UsageRequest
    decision: Decision
    permit_document: str


@dataclass(frozen=True)
class Question:
    """One permit's use of one dataset, as the last request that asks a person showed it.

    `answer`: the last one, None while there is none.
    """

    asked: entries.Decided | Asked
    permit: Permit
    policy: Policy
    answer: bool | None

    @property
    def dataset(self) -> str:
        """The dataset that it is about."""
        return self.asked.request.dataset

    @property
    def digest(self) -> str:
        """The permit's, as the request names it and as its content has it."""
        return self.asked.request.permit_digest

    @property
    def short(self) -> str:
        """Enough of the digest to tell permits of one id apart."""
        return self.digest.removeprefix("sha256:")[:_SHORT]


def questions(log: Path, coordinator: VerifyKey) -> list[Question]:
    """Every permit that a policy leaves to a person: asked about, or answered. Oldest first."""
    standing = Standing()
    asked: dict[tuple[str, str], entries.Decided | Asked] = {}
    with logs.reading(log) as contents:
        for _, content in contents:
            entry = entries.parse(content)
            standing.apply(entry)
            if isinstance(entry, entries.Decided) and entry.permit_id:
                about = entry.request.dataset, entry.request.permit_digest
                # Another job that was refused does not unask what waits.
                if _asks(entry) or about not in asked:
                    asked[about] = entry
            elif (contract := _asked(entry)) is not None:
                about = contract.request.dataset, contract.request.permit_digest
                if contract.waits or about not in asked:
                    asked[about] = contract
    found = []
    for (dataset, digest), entry in asked.items():
        policy = standing.policy(dataset)
        if policy is None or (policy.approval != "person" and not isinstance(entry, Asked)):
            continue
        try:
            permit = documents.verify(entry.permit_document, Permit, coordinator)
        except RemoteError:
            continue  # of another coordinator, before this node enrolled anew
        # An answer is about the digest (threat: a request names one permit and shows another).
        if permit.digest == digest:
            found.append(Question(entry, permit, policy, standing.approved(dataset, digest)))
    return [one for one in found if _asks(one.asked) or one.answer is not None]


def _asked(entry: entries.Entry) -> Asked | None:
    """A contract's question, where the policy was asked about a permit that holds."""
    if not isinstance(entry, entries.ContractJudged) or not entry.permit_id:
        return None
    if entry.request is None or entry.decision is None:
        return None
    return Asked(
        entry.time, entry.counterparty, entry.answer == "hold", entry.request, entry.decision,
        entry.permit_document,
    )  # fmt: skip


def _asks(entry: entries.Decided | Asked) -> bool:
    """Whether a person's answer is what a decision lacks."""
    if isinstance(entry, Asked):
        return entry.waits
    return entry.decision.verdict is Verdict.UNDETERMINED and any(
        one.rule == "policy.approval" and one.satisfied is None
        for one in entry.decision.constraints
    )


def held(log: Path, coordinator: VerifyKey, now: datetime) -> list[Question]:
    """Those that wait: nobody has answered, nothing else speaks against it, the permit runs."""
    return [
        question
        for question in questions(log, coordinator)
        if question.answer is None and now < question.permit.not_after
    ]


def describe(question: Question) -> Iterator[str]:
    """A question in lines for the person who answers it."""
    asked, permit, policy = question.asked, question.permit, question.policy
    purpose = purposes.by_iri(permit.purpose)
    yield f"{permit.id} for {question.dataset}, asked {asked.time:%Y-%m-%d %H:%M} UTC"
    if isinstance(asked, Asked):
        yield f"  contract:  asked for by {asked.counterparty} over the Dataspace Protocol"
    yield f"  data user: {permit.data_user}"
    yield f"  project:   {permit.project}"
    yield f"  purpose:   {purpose.name if purpose else permit.purpose}"
    yield "  the permit, all of which an answer is about:"
    yield f"    datasets:  {', '.join(permit.datasets)}"
    yield f"    columns:   {', '.join(permit.columns)}"
    yield f"    tasks:     {', '.join(permit.tasks)}"
    yield f"    outputs:   {', '.join(permit.outputs)}"
    yield f"    privacy:   epsilon {permit.epsilon}, delta {permit.delta}, for each dataset"
    yield f"    hospitals: at least {permit.minimum_participants}"
    yield f"    in force:  {permit.not_before:%Y-%m-%d} to {permit.not_after:%Y-%m-%d}"
    yield f"    digest:    {question.digest}"
    if isinstance(asked, Asked):
        yield "  the most that a job under it could ask for here:"
    else:
        yield "  the last job under it that asked:"
    yield f"    columns:   {', '.join(asked.request.columns)}"
    yield f"    tasks:     {', '.join(asked.request.tasks)}, for a {asked.request.output}"
    decision = asked.decision
    holding = sum(one.satisfied is True for one in decision.constraints)
    if decision.verdict is Verdict.ALLOW:
        yield f"  policy {policy.id}: allow, {holding} rules hold; a person is asked all the same"
    else:
        yield f"  policy {policy.id}: {decision.verdict.value}, {holding} rules hold, but for:"
    for constraint in decision.constraints:
        if constraint.satisfied is not True:
            yield f"    {constraint.rule}: {constraint.bound} ({constraint.actual})"


def find(log: Path, coordinator: VerifyKey, permit: str, dataset: str) -> Question:
    """The question about a permit, by its digest, the beginning of that, or its id.

    Raises `LocalError`: PERMIT_NOT_ASKED, PERMIT_AMBIGUOUS.
    """
    asked = [one for one in questions(log, coordinator) if one.dataset == dataset]
    found = [one for one in asked if one.digest == permit] or [
        one for one in asked if permit == one.permit.id or _begins(one.digest, permit)
    ]
    if not found:
        raise LocalError(
            "PERMIT_NOT_ASKED",
            f"nobody has asked to use {dataset} under a permit {permit}, by a policy that leaves "
            "the answer to a person",
            "See what waits with `commensal node held`",
        )
    if len(found) > 1:
        raise LocalError(
            "PERMIT_AMBIGUOUS",
            f"{permit} names several permits that asked to use {dataset}",
            f"Name one by its digest: {', '.join(one.digest for one in found)}",
        )
    return found[0]


def _begins(digest: str, text: str) -> bool:
    text = text.removeprefix("sha256:")
    return len(text) >= _SHORT and digest.removeprefix("sha256:").startswith(text)


def answer(
    directory: Path, question: Question, key: SigningKey, now: datetime, *, approved: bool
) -> tuple[str, AnswerPermit]:
    """Sign an answer and hand it in; returns its name in the inbox, and what was signed.

    Raises `LocalError`: OFFICERS_MISSING, OFFICER_UNKNOWN and those of `instructions.check`.
    """
    hospital = read_hospital(directory)
    hospital.officer(key)
    signed = AnswerPermit(
        node=hospital.name,
        dataset=question.dataset,
        permit_id=question.permit.id,
        permit_digest=question.digest,
        approved=approved,
        issued_at=now,
    )
    instructions.check(signed, hospital.name, hospital.columns, Standing(), now)
    document = instructions.sign(key, signed)
    return Inbox(directory / "inbox").hand_in("answer", signed.digest, document), signed
