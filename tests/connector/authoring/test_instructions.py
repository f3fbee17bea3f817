"""What officers sign: by whom, for which node, and once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hospital_files import POLICY

from connector.audit import entries
from connector.audit.standing import Standing
from connector.authoring import instructions, signed
from connector.authoring.instructions import ActivatePolicy, AnswerPermit, Instruction
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey, VerifyKey
from policies import policy as policies
from policies.errors import Error

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALICE, BOB, CAROL = (SigningKey(name, name[:1].encode() * 32) for name in ("alice", "bob", "carol"))
OFFICERS = (ALICE.verify_key, BOB.verify_key)
COLUMNS = {"north/patients": ("age", "died")}
PERSON = policies.parse(POLICY.encode(), "policy.toml")


def activation(**changed: Any) -> ActivatePolicy:
    known: dict[str, Any] = {
        "node": "north", "policy": PERSON, "examples": "sha256:e", "issued_at": NOW,
    }  # fmt: skip
    return ActivatePolicy(**(known | changed))


def answer(**changed: Any) -> AnswerPermit:
    known: dict[str, Any] = {
        "node": "north",
        "dataset": "north/patients",
        "permit_id": "permit-1",
        "permit_digest": "sha256:01",
        "approved": True,
        "issued_at": NOW,
    }
    return AnswerPermit(**(known | changed))


def by_both(instruction: ActivatePolicy) -> str:
    first = instructions.sign(ALICE, instruction)
    return documents.countersign(first, ActivatePolicy, ALICE.verify_key, BOB)


def refused(text: str, kind: instructions.Kind, *officers: SigningKey) -> str:
    keys = [officer.verify_key for officer in officers] or OFFICERS
    with pytest.raises(RemoteError) as refusal:
        instructions.verify(text, kind, keys)
    return refusal.value.code


def standing(*logged: entries.Entry) -> Standing:
    found = Standing()
    for entry in logged:
        found.apply(entry)
    return found


def objection(instruction: Instruction, *logged: entries.Entry, now: datetime = NOW) -> str:
    with pytest.raises(Error) as refusal:
        instructions.check(instruction, "north", COLUMNS, standing(*logged), now)
    return refusal.value.code


def active(**changed: Any) -> entries.Entry:
    policy = PERSON.model_copy(update=changed)
    earlier = activation(policy=policy, issued_at=NOW - timedelta(hours=1))
    return instructions.entry(earlier, by(*OFFICERS), NOW)


def by(*keys: VerifyKey) -> dict[VerifyKey, str]:
    """Stand-ins for signatures that somebody has checked."""
    return dict.fromkeys(keys, "A" * 86 + "==")


def test_two_officers_activate_and_both_are_named_in_the_entry() -> None:
    instruction, signers = instructions.verify(by_both(activation()), ActivatePolicy, OFFICERS)
    entry = instructions.entry(instruction, signers, NOW)
    assert isinstance(entry, entries.PolicyActivated)
    assert (entry.signed_at, entry.signatures) == (NOW, tuple(signers.values()))
    assert signed.attest(entry, "north") == OFFICERS
    assert (entry.policy, entry.examples) == (PERSON, "sha256:e")
    assert entry.officers == (ALICE.verify_key.vkey, BOB.verify_key.vkey)
    assert entries.parse(entries.spell(entry)) == entry


def test_one_officer_answers() -> None:
    text = instructions.sign(BOB, answer())
    instruction, signers = instructions.verify(text, AnswerPermit, OFFICERS)
    entry = instructions.entry(instruction, signers, NOW)
    assert isinstance(entry, entries.Approved)
    assert (entry.approved, entry.officer) == (True, BOB.verify_key.vkey)
    assert signed.attest(entry, "north") == (BOB.verify_key,)
    assert entries.parse(entries.spell(entry)) == entry


def test_one_signature_does_not_activate() -> None:
    assert refused(instructions.sign(ALICE, activation()), ActivatePolicy) == "SIGNATURE_MISSING"


def test_the_same_signature_twice_is_not_two() -> None:
    envelope = json.loads(instructions.sign(ALICE, activation()))
    envelope["signatures"] *= 2
    assert refused(json.dumps(envelope), ActivatePolicy) == "SIGNATURE_INVALID"


def test_one_person_with_two_keys_is_not_two_people() -> None:
    other = SigningKey("alice", b"z" * 32)
    first = instructions.sign(ALICE, activation())
    text = documents.countersign(first, ActivatePolicy, ALICE.verify_key, other)
    assert refused(text, ActivatePolicy, ALICE, other) == "SIGNATURE_MISSING"


def test_one_key_under_two_names_is_not_two_people() -> None:
    other = SigningKey("alan", b"a" * 32)
    first = instructions.sign(ALICE, activation())
    text = documents.countersign(first, ActivatePolicy, ALICE.verify_key, other)
    assert refused(text, ActivatePolicy, ALICE, other) == "SIGNATURE_MISSING"


def test_somebody_who_is_no_officer_spoils_it() -> None:
    first = instructions.sign(ALICE, activation())
    text = documents.countersign(first, ActivatePolicy, ALICE.verify_key, CAROL)
    assert refused(text, ActivatePolicy) == "SIGNATURE_INVALID"
    assert refused(instructions.sign(CAROL, answer()), AnswerPermit) == "SIGNATURE_INVALID"


def test_a_signature_under_one_kind_is_none_under_another() -> None:
    assert refused(instructions.sign(ALICE, answer()), ActivatePolicy) == "SIGNATURE_INVALID"


def test_nothing_is_countersigned_that_the_first_officer_has_not_signed() -> None:
    with pytest.raises(RemoteError, match="not signed"):
        documents.countersign(
            instructions.sign(CAROL, activation()), ActivatePolicy, ALICE.verify_key, BOB
        )


def test_no_changed_byte_of_an_instruction_is_followed() -> None:
    text = by_both(activation()).encode()
    original, _ = instructions.verify(text.decode(), ActivatePolicy, OFFICERS)
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= 1
        with pytest.raises(RemoteError):
            instructions.verify(changed.decode("utf-8", "replace"), ActivatePolicy, OFFICERS)
    assert original == activation()


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (activation(node="south"), "INSTRUCTION_FOR_ANOTHER"),
        (answer(node="south"), "INSTRUCTION_FOR_ANOTHER"),
        (answer(dataset="north/others"), "DATASET_UNKNOWN"),
        (activation(issued_at=NOW + timedelta(milliseconds=1)), "INSTRUCTION_STALE"),
        (activation(issued_at=NOW - instructions.LONGEST), "INSTRUCTION_STALE"),
        (answer(issued_at=NOW + timedelta(days=1)), "INSTRUCTION_STALE"),
        (
            activation(policy=PERSON.model_copy(update={"dataset": "north/others"})),
            "DATASET_UNKNOWN",
        ),
        (activation(policy=PERSON.model_copy(update={"columns": ("weight",)})), "POLICY_COLUMN"),
        (
            activation(policy=PERSON.model_copy(update={"rules": "x" * 12_000})),
            "POLICY_TOO_LARGE",
        ),
    ],
)
def test_an_instruction_that_does_not_fit_is_refused_by_its_code(
    instruction: Instruction, code: str
) -> None:
    assert objection(instruction) == code


def test_odrl_rules_that_no_engine_reads_are_never_activated() -> None:
    unreadable = PERSON.model_copy(update={"rules": "{"})
    assert objection(activation(policy=unreadable))


def test_what_fits_is_followed_until_its_time_is_over() -> None:
    late = NOW + instructions.LONGEST - timedelta(milliseconds=1)
    for instruction in (activation(), answer()):
        instructions.check(instruction, "north", COLUMNS, Standing(), NOW)
        instructions.check(instruction, "north", COLUMNS, Standing(), late)


def test_the_same_activation_twice_is_refused() -> None:
    assert objection(activation(), active()) == "INSTRUCTION_REPEATED"


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_that_was_active_does_not_come_back(version: int) -> None:
    old = PERSON.model_copy(update={"version": version, "minimum_cohort": 1})
    assert objection(activation(policy=old), active(version=2)) == "POLICY_VERSION"


def test_a_former_policy_does_not_come_back_after_one_of_another_name() -> None:
    logged = (active(), active(id="north/other"))
    assert objection(activation(), *logged) == "POLICY_VERSION"
    newer = activation(policy=PERSON.model_copy(update={"version": 2}))
    instructions.check(newer, "north", COLUMNS, standing(*logged), NOW)


def test_of_two_policies_with_versions_of_their_own_the_one_that_was_signed_last_decides() -> None:
    """Threat: a wide policy that was rejected, or never came into force, is kept and used."""
    tight = PERSON.model_copy(update={"id": "north/tight", "version": 1})
    logged = instructions.entry(activation(policy=tight), by(*OFFICERS), NOW)
    wide = PERSON.model_copy(update={"id": "north/wide", "version": 5})
    for earlier in (NOW, NOW - timedelta(days=1)):
        again = activation(policy=wide, issued_at=earlier)
        assert objection(again, logged, now=NOW + timedelta(hours=1)) == "INSTRUCTION_REPEATED"
    later = activation(policy=wide, issued_at=NOW + timedelta(milliseconds=1))
    instructions.check(later, "north", COLUMNS, standing(logged), NOW + timedelta(hours=1))


def test_an_answer_counts_only_if_it_is_younger_than_the_last() -> None:
    last = instructions.entry(answer(approved=False), by(*OFFICERS[:1]), NOW + timedelta(hours=1))
    assert objection(answer(), last) == "INSTRUCTION_REPEATED"
    early = answer(issued_at=NOW - timedelta(seconds=1))
    assert objection(early, last) == "INSTRUCTION_REPEATED"
    later = answer(issued_at=NOW + timedelta(milliseconds=1))
    instructions.check(later, "north", COLUMNS, standing(last), NOW + timedelta(hours=1))


def test_answers_about_other_permits_do_not_stand_in_the_way() -> None:
    last = instructions.entry(answer(permit_digest="sha256:02"), by(*OFFICERS[:1]), NOW)
    instructions.check(answer(), "north", COLUMNS, standing(last), NOW)


def test_an_unknown_dataset_gets_the_list_of_those_there_are() -> None:
    with pytest.raises(LocalError) as refusal:
        instructions.check(answer(dataset="north/x"), "north", COLUMNS, Standing(), NOW)
    assert "north/patients" in refusal.value.remedy
