"""`commensal policy duties` on a real log, and the records that officers hand in."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connector.audit import entries
from connector.audit.history import events
from connector.audit.log import Log
from connector.audit.standing import Standing
from connector.authoring import instructions
from connector.authoring.cli import policy as command
from connector.authoring.instructions import RecordDuty
from connector.authoring.spool import Inbox, kind_of
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey
from node.intake import Intake
from policies import purposes
from policies.decision import Constraint, Decision, Verdict
from policies.duties import obligations
from policies.history import Consented
from policies.permit import Permit
from policies.policy import Policy
from policies.request import UsageRequest

HDAB = SigningKey("hdab", bytes(range(32)))
NODE = SigningKey("north", bytes(range(1, 33)))
ALICE = SigningKey("alice", bytes(range(2, 34)))
BOB = SigningKey("bob", bytes(range(3, 35)))
BEGIN = datetime(2024, 1, 5, 12, tzinfo=UTC)
END = datetime(2024, 8, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
JOB = "sha256:" + "ab" * 32
DIGEST = "sha256:" + "0" * 64
SIGNATURE = "A" * 86 + "=="
RESEARCH = purposes.by_name("scientific-research").iri
RULES = {
    "@context": "http://www.w3.org/ns/odrl.jsonld",
    "@id": "urn:commensal:policy:north/research",
    "permission": [
        {
            "target": "urn:commensal:dataset:north/patients",
            "action": "use",
            "duty": [
                {
                    "action": "inform",
                    "constraint": [
                        {"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": "P30D"}
                    ],
                }
            ],
        }
    ],
}
POLICY = Policy.model_validate(
    {
        "id": "north/research",
        "version": 1,
        "dataset": "north/patients",
        "purposes": ("scientific-research",),
        "tasks": ("training.logistic",),
        "columns": ("age",),
        "outputs": ("model",),
        "minimum_cohort": 10,
        "minimum_participants": 2,
        "epsilon_per_job": "1",
        "budget": {"epsilon": "2", "delta": "0.00001"},
        "not_before": BEGIN - DAY,
        "not_after": END,
        "rules": json.dumps(RULES),
    }
)


def permit(**changed: Any) -> Permit:
    return Permit.model_validate(
        {
            "id": "permit-1",
            "issuer": "hdab",
            "state": "granted",
            "data_user": "a university",
            "project": "survival",
            "purpose": RESEARCH,
            "datasets": ("north/patients", "south/patients"),
            "columns": ("age",),
            "tasks": ("training.logistic",),
            "outputs": ("model",),
            "epsilon": "1",
            "delta": "0.00001",
            "minimum_participants": 2,
            "not_before": BEGIN,
            "not_after": END,
        }
        | changed
    )


def activated() -> entries.PolicyActivated:
    officers = (ALICE.verify_key.vkey, BOB.verify_key.vkey)
    return entries.PolicyActivated(
        time=BEGIN, policy=POLICY, officers=officers, examples=DIGEST, signed_at=BEGIN,
        signatures=(),
    )  # fmt: skip


def decided(verdict: Verdict = Verdict.ALLOW, **changed: Any) -> entries.Decided:
    granted = permit()
    request = UsageRequest(
        job_digest=JOB,
        permit_digest=granted.digest,
        data_user=granted.data_user,
        purpose=RESEARCH,
        dataset="north/patients",
        datasets=granted.datasets,
        columns=("age",),
        tasks=("training.logistic",),
        output="model",
        not_after=BEGIN + 10 * DAY,
    )
    rule = Constraint(
        rule="r", basis="b", bound="b", actual="a", satisfied=verdict is Verdict.ALLOW
    )
    known: dict[str, Any] = {
        "time": BEGIN,
        "request": request,
        "decision": Decision(
            verdict=verdict,
            decided_at=BEGIN,
            policy_digest=POLICY.digest,
            request_digest=request.digest,
            permit_digest=granted.digest,
            constraints=(rule,),
            obligations=obligations(granted, POLICY) if verdict is Verdict.ALLOW else (),
        ),
        "permit_document": documents.sign(HDAB, granted),
        "permit_id": granted.id,
        "dataset_version": "",
        "specification": "{}",
        "planned": (),
        "job_not_after": request.not_after,
    }
    return entries.Decided(**(known | changed))


def released() -> entries.Released:
    return entries.Released(
        time=BEGIN + DAY, job=JOB, dataset="north/patients", round=1, task="training.logistic",
        message=DIGEST, size=1, destination="hdab",
    )  # fmt: skip


def job() -> list[entries.Entry]:
    ended = entries.JobEnded(time=BEGIN + 2 * DAY, job=JOB, reason="finished")
    return [activated(), decided(), released(), ended]


def recorded(kind: Any, duty: str, when: datetime, **changed: Any) -> Any:
    known = {
        "time": when, "permit_id": "permit-1", "duty": duty, "evidence": DIGEST,
        "actor": ALICE.verify_key.vkey, "signed_at": when, "signature": SIGNATURE,
    }  # fmt: skip
    return kind(**(known | changed))


def write(directory: Path, *log: entries.Entry, key: SigningKey = NODE) -> Path:
    with Log(directory / "log", key) as opened:
        opened.append([entries.spell(one) for one in log])
    return directory


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def listed(directory: Path, on: date, *options: str) -> dict[str, Any]:
    outcome = run("duties", "--log", directory, "--on", on, "--json", *options)
    assert outcome.exit_code == 0, outcome.output
    lines = [json.loads(line) for line in outcome.output.splitlines()]
    return {line["duty"].rpartition("-")[0] if line["duty"][:4] == "odrl" else line["duty"]: line
            for line in lines}  # fmt: skip


DELETION, RESULTS = "ehds.art68.deletion", "ehds.art61.results"
LAST = date(2025, 2, 28)  # six months after 31 August


def test_what_is_open_is_listed_with_dates_and_days(tmp_path: Path) -> None:
    found = listed(write(tmp_path, *job()), date(2024, 1, 10))
    assert found["odrl.inform"]["due"] == "2024-02-04T12:00:00Z"
    assert found[DELETION]["due"] == "2025-02-28T23:59:59Z"
    assert found[RESULTS]["due"] == "2025-07-07T23:59:59Z"
    assert found[RESULTS]["job"] == JOB
    assert found["odrl.inform"]["days_left"] == 25
    assert {one["state"] for one in found.values()} == {"pending"}


def test_a_deadline_passes_with_its_last_day(tmp_path: Path) -> None:
    node = write(tmp_path, *job())
    assert listed(node, LAST)[DELETION]["state"] == "pending"
    late = listed(node, LAST + DAY)[DELETION]
    assert (late["state"], late["days_left"]) == ("overdue", -1)
    assert run("duties", "--log", node, "--on", LAST + DAY).exit_code == 0
    assert run("duties", "--log", node, "--on", LAST + DAY, "--fail-overdue").exit_code == 1
    early = run("duties", "--log", node, "--on", "2024-01-10", "--fail-overdue")
    assert early.exit_code == 0


def test_what_is_fulfilled_is_shown_with_its_entry_on_demand(tmp_path: Path) -> None:
    done = recorded(entries.DutyDone, DELETION, END + DAY)
    node = write(tmp_path, *job(), done)
    day = date(2024, 10, 1)
    assert DELETION not in listed(node, day)
    shown = listed(node, day, "--all")[DELETION]
    assert (shown["state"], shown["entry"], shown["days_left"]) == ("fulfilled", 4, None)
    table = run("duties", "--log", node, "--on", day, "--all").output
    assert "fulfilled" in table
    assert "entry 4" in table
    # Before it was recorded it was open.
    assert listed(node, date(2024, 8, 30))[DELETION]["state"] == "pending"


def test_the_table_says_what_who_when_and_why_overdue_first(tmp_path: Path) -> None:
    output = run("duties", "--log", write(tmp_path, *job()), "--on", "2024-02-05").output
    for words in (
        "overdue", "inform the other party", "data user", "2024-02-04", "1 day ago",
        "policy north/research version 1", "permit-1", "hospital", "in 389 days",
        "Regulation (EU) 2025/327, Art. 68(12)", "1 overdue, 5 pending", f"job {'ab' * 6}",
    ):  # fmt: skip
        assert words in output
    assert output.index("overdue") < output.index("pending")


def test_a_log_without_allowances_owes_nothing(tmp_path: Path) -> None:
    node = write(tmp_path, activated(), decided(Verdict.DENY))
    outcome = run("duties", "--log", node, "--fail-overdue")
    assert outcome.exit_code == 0
    assert outcome.output == "nothing is owed: no permit in this log was used yet\n"


def test_the_access_bodys_own_log_is_read_too(tmp_path: Path) -> None:
    granted = permit()
    log = [
        entries.PermitIssued(
            time=BEGIN, permit_digest=granted.digest, document=documents.sign(HDAB, granted)
        ),
        entries.JobStarted(
            time=BEGIN, job=JOB, permit_digest=granted.digest, participants=("north", "south")
        ),
        entries.Labelled(time=BEGIN + DAY, job=JOB, subject=DIGEST, label_digest=DIGEST),
        entries.JobEnded(time=BEGIN + DAY, job=JOB, reason="finished"),
    ]
    found = listed(write(tmp_path, *log, key=HDAB), date(2024, 1, 10))
    assert found["ehds.art57.register"]["due"] == "2024-02-16T23:59:59Z"
    assert found[RESULTS]["due"] == "2025-07-07T23:59:59Z"
    assert found[DELETION]["party"] == "hdab"


@pytest.mark.parametrize(
    "changed",
    [
        {"permit_document": "{}"},
        {"permit_document": documents.sign(HDAB, permit(not_after=END + DAY))},
    ],
)
def test_an_allowance_without_its_own_permit_is_an_error(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    outcome = run("duties", "--log", write(tmp_path, activated(), decided(**changed)))
    assert isinstance(outcome.exception, LocalError)
    assert outcome.exception.code == "PERMIT_UNREADABLE"
    assert outcome.exception.remedy


def test_a_job_under_a_permit_that_was_not_issued_is_an_error() -> None:
    started = entries.JobStarted(time=BEGIN, job=JOB, permit_digest=DIGEST, participants=("a",))
    with pytest.raises(LocalError) as found:
        list(events([(0, started)]))
    assert found.value.code == "PERMIT_UNREADABLE"


def test_what_officers_answered_is_a_consent_given_or_refused_to_a_permits_content() -> None:
    answer = {
        "time": BEGIN, "dataset": "north/patients", "permit_id": "permit-1",
        "permit_digest": DIGEST, "officer": ALICE.verify_key.vkey, "signed_at": BEGIN,
        "signature": SIGNATURE,
    }  # fmt: skip
    told = [entries.Approved(**answer, approved=said) for said in (True, False)]
    assert list(events(enumerate(told))) == [
        Consented(BEGIN, index, "permit-1", DIGEST, "north/patients", given=given)
        for index, given in enumerate((True, False))
    ]


def test_no_log_and_no_sense_are_errors_with_a_remedy(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        assert isinstance(run("duties", "--log", place).exception, LocalError)
    with Log(tmp_path / "log", NODE) as opened:
        opened.append([b'{"kind":"decided","x":1}'])
    outcome = run("duties", "--log", tmp_path)
    assert isinstance(outcome.exception, LocalError)
    assert outcome.exception.code == "LOG_TAMPERED"


def test_nothing_that_a_policy_says_is_markup(tmp_path: Path) -> None:
    rules = json.loads(json.dumps(RULES))
    rules["permission"][0]["duty"][0]["target"] = "urn:x:[red]boom[/]"
    odd = POLICY.model_copy(update={"rules": json.dumps(rules)})
    named = decided()
    decision = named.decision.model_copy(
        update={"policy_digest": odd.digest, "obligations": obligations(permit(), odd)}
    )
    log = [
        activated().model_copy(update={"policy": odd}),
        named.model_copy(update={"decision": decision}),
    ]
    assert "[red]boom[/]" in run("duties", "--log", write(tmp_path, *log)).output


# Recording


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    lines = ", ".join(f'"{key.verify_key.vkey}"' for key in (ALICE, BOB))
    (tmp_path / "node.toml").write_text(
        f'name = "north"\nofficers = [{lines}]\n[[datasets]]\nid = "north/patients"\n'
    )
    for key in (ALICE, BOB, HDAB):
        key.save(tmp_path / f"{key.name}.key")
    (tmp_path / "certificate.pdf").write_bytes(b"all of it was deleted")
    return write(tmp_path, *job())


def ask(hospital: Path, step: str, duty: str, *options: object, by: str = "alice") -> Result:
    return run(
        step, duty, "--permit", "permit-1", "--evidence", hospital / "certificate.pdf",
        "--data", hospital, "--key", hospital / f"{by}.key", *options,
    )  # fmt: skip


def take_in(hospital: Path) -> list[Any]:
    """What a node does with its inbox: the entries that it writes."""
    standing, told = Standing(), []
    with Log(hospital / "log", NODE) as opened:
        for _, content in opened.read():
            standing.apply(entries.parse(content))

        def note(entry: entries.Entry) -> None:
            opened.append([entries.spell(entry)])
            standing.apply(entry)
            told.append(entry)

        officers = (ALICE.verify_key, BOB.verify_key)
        intake = Intake("north", officers, (), hospital / "inbox", lambda _: None)
        intake.take(standing, datetime.now(UTC) + timedelta(seconds=1), note)
    return told


def test_a_duty_is_done_once_its_record_stands_in_the_nodes_log(hospital: Path) -> None:
    outcome = ask(hospital, "done", DELETION)
    assert outcome.exit_code == 0, outcome.output
    assert "handed in" in outcome.output
    (entry,) = take_in(hospital)
    assert isinstance(entry, entries.DutyDone)
    assert (entry.duty, entry.permit_id, entry.job) == (DELETION, "permit-1", "none")
    assert entry.actor == ALICE.verify_key.vkey
    assert listed(hospital, entry.time.date(), "--all")[DELETION]["entry"] == 4
    assert take_in(hospital) == []


def test_the_digest_of_the_evidence_is_logged_and_nothing_of_its_content(hospital: Path) -> None:
    (hospital / "certificate.pdf").write_bytes(b"abc")
    ask(hospital, "done", DELETION)
    (entry,) = take_in(hospital)
    assert entry.evidence == (
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_more_time_and_a_beginning_are_recorded_too(hospital: Path) -> None:
    assert ask(hospital, "extended", RESULTS, "--until", "2100-01-31").exit_code == 0
    assert ask(hospital, "began", "ehds.art61.finding", "--days", 5).exit_code == 0
    assert ask(hospital, "began", "ehds.art60.holder").exit_code == 0
    kinds = sorted(entry.kind for entry in take_in(hospital))
    assert kinds == ["duty-began", "duty-began", "duty-extended"]
    found = listed(hospital, datetime.now(UTC).date() + DAY, "--all")
    assert found[RESULTS]["due"] == "2100-01-31T23:59:59Z"
    assert found["ehds.art61.finding"]["party"] == "data-user"
    assert found["ehds.art60.holder"]["state"] == "fulfilled"  # a job used the data before


def test_a_record_may_be_of_one_job_by_the_beginning_of_its_digest(hospital: Path) -> None:
    assert ask(hospital, "done", RESULTS, "--job", "abab").exit_code == 0
    (entry,) = take_in(hospital)
    assert entry.job == JOB


@pytest.mark.parametrize(
    ("step", "duty", "options", "code"),
    [
        ("done", "ehds.art61.result", (), "DUTY_UNKNOWN"),
        ("done", "ehds.art73.activity-log", (), "DUTY_UNKNOWN"),
        ("done", RESULTS, ("--permit", "permit-2"), "DUTY_UNKNOWN"),
        ("done", RESULTS, ("--job", "cd"), "JOB_UNKNOWN"),
        ("done", DELETION, ("--job", "abab"), "JOB_UNKNOWN"),
        ("extended", DELETION, ("--until", "2030-01-01"), "DUTY_UNKNOWN"),
        ("began", DELETION, (), "DUTY_UNKNOWN"),
        ("done", DELETION, ("--evidence", "nowhere.pdf"), "EVIDENCE_MISSING"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_a_remedy(
    hospital: Path, step: str, duty: str, options: tuple[str, ...], code: str
) -> None:
    outcome = ask(hospital, step, duty, *options)
    assert isinstance(outcome.exception, LocalError)
    assert outcome.exception.code == code
    assert outcome.exception.remedy
    assert not (hospital / "inbox").exists()


def test_without_officers_nothing_is_recorded_and_the_words_are_about_signing(
    hospital: Path,
) -> None:
    (hospital / "node.toml").write_text('name = "north"\n')
    outcome = ask(hospital, "done", DELETION)
    assert isinstance(outcome.exception, LocalError)
    assert outcome.exception.code == "OFFICERS_MISSING"
    assert "nobody can sign" in outcome.exception.message


def test_only_an_officer_records(hospital: Path) -> None:
    outcome = ask(hospital, "done", DELETION, by="hdab")
    assert isinstance(outcome.exception, LocalError)
    assert outcome.exception.code == "OFFICER_UNKNOWN"


def record(**changed: Any) -> RecordDuty:
    known: dict[str, Any] = {
        "node": "north", "step": "done", "permit_id": "permit-1", "duty": DELETION,
        "evidence": DIGEST, "issued_at": END,
    }  # fmt: skip
    return RecordDuty(**(known | changed))


@pytest.mark.parametrize(
    "changed",
    [{"node": "south"}, {"issued_at": END + DAY}, {"issued_at": END - 31 * DAY}],
)
def test_a_record_for_another_node_or_time_is_not_followed(changed: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        instructions.check(record(**changed), "north", {}, known("permit-1"), END)
    instructions.check(record(), "north", {}, known("permit-1"), END)


@pytest.mark.parametrize(
    "changed",
    [
        {"duty": "nonsense.duty"},
        {"duty": "ehds.art73.activity-log"},
        {"duty": DELETION, "step": "began"},
        {"duty": DELETION, "step": "extended", "until": END.date()},
        {"permit_id": "nobody-knows-this"},
        {"permit_id": "nobody-knows-this", "duty": "odrl.delete"},
    ],
)
def test_a_record_of_what_is_no_duty_here_is_not_followed_by_the_node_either(
    changed: dict[str, Any],
) -> None:
    with pytest.raises(LocalError) as found:
        instructions.check(record(**changed), "north", {}, known("permit-1"), END)
    assert found.value.code == "DUTY_UNKNOWN"


def test_what_began_under_a_permit_can_be_done_though_no_job_ran() -> None:
    standing, begun = Standing(), record(step="began", duty="ehds.art60.holder")
    instructions.check(begun, "north", {}, standing, END)
    standing.apply(instructions.entry(begun, {ALICE.verify_key: SIGNATURE}, END))
    instructions.check(record(duty="ehds.art60.holder"), "north", {}, standing, END)


def known(*permits: str) -> Standing:
    """As of a log in which something was allowed under each."""
    standing = Standing()
    for permit_id in permits:
        standing.apply(decided(permit_id=permit_id))
    return standing


def test_a_record_is_followed_once() -> None:
    standing, first = known("permit-1", "permit-2"), record()
    standing.apply(instructions.entry(first, {ALICE.verify_key: SIGNATURE}, END))
    with pytest.raises(LocalError) as found:
        instructions.check(first, "north", {}, standing, END)
    assert found.value.code == "INSTRUCTION_REPEATED"
    for other in (
        record(issued_at=END + timedelta(seconds=1)),
        record(duty=RESULTS),
        record(job=JOB),
        record(permit_id="permit-2"),
        record(evidence="sha256:" + "1" * 64),
        record(issued_at=END - timedelta(seconds=1)),
        record(step="extended", duty=RESULTS, until=END.date()),
    ):
        instructions.check(other, "north", {}, standing, END + DAY)


def test_a_record_needs_an_officers_signature() -> None:
    officers = (ALICE.verify_key, BOB.verify_key)
    assert kind_of("duty-0.json") is RecordDuty
    signed = instructions.sign(BOB, record())
    found, signatures = instructions.verify(signed, RecordDuty, officers)
    assert (found, list(signatures)) == (record(), [BOB.verify_key])
    with pytest.raises(RemoteError):
        instructions.verify(instructions.sign(HDAB, record()), RecordDuty, officers)


@pytest.mark.parametrize(
    "changed",
    [
        {"step": "extended"},
        {"until": END.date()},
        {"days": 5},
        {"step": "began", "days": 0},
        {"evidence": "sha256:abc"},
        {"evidence": "the patient called"},
        {"duty": "two words"},
        {"step": "undone"},
    ],
)
def test_a_record_that_makes_no_sense_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        record(**changed)


def test_a_forged_record_is_moved_aside_with_a_code(hospital: Path) -> None:
    Inbox(hospital / "inbox").hand_in("duty", DIGEST, instructions.sign(HDAB, record()))
    assert take_in(hospital) == []
    (code,) = (hospital / "inbox" / "rejected").glob("*.code")
    assert code.read_text() == "SIGNATURE_INVALID\n"


def test_entries_about_duties_hold_codes_and_digests_only() -> None:
    done = recorded(entries.DutyDone, DELETION, END)
    assert set(done.model_dump()) == {
        "time", "kind", "permit_id", "duty", "job", "evidence", "actor", "signed_at",
        "signature",
    }  # fmt: skip
    assert Decimal(len(entries.spell(done))) < 1000
