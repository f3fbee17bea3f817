"""A hospital's policy that is written in ODRL, as the typed policy that its node enforces.

A node needs bounds that ODRL leaves open: a budget to count against, the people in a fold, an end.
They are lifted out of the constraints of all permissions to use the dataset (`bounds`), as wide as
any of them allows; the whole text is kept as `rules`, which must permit each job as well. So the
fields may admit what the text refuses, never the other way round, with three exceptions, all of
them stricter: the default of `hours_per_job`, where no constraint bounds odrl:elapsedTime; a single
delta, the smallest that is named, for all permissions; and a person's approval, if any permission
asks to obtain consent, since a duty that is pending does not hold a permission back.
"""

from datetime import UTC, datetime

from pydantic import ValidationError

from policies.document import first_problem
from policies.errors import PolicyError
from policies.odrl import bounds, inherit, model, read
from policies.odrl.actions import covered_by, with_definitions
from policies.odrl.bounds import Bounds
from policies.odrl.lower import VERSION
from policies.odrl.model import Asset, Permission
from policies.odrl.naming import dataset_name, policy_name
from policies.odrl.terms import ODRL, USE
from policies.odrl.world import World
from policies.policy import Policy

_OBTAIN_CONSENT = ODRL + "obtainConsent"
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DIGITS = 9

# What a node cannot do without, with the constraint that says it.
_NEEDED = {
    "purposes": "odrl:purpose isA",
    "tasks": "commensal:task isAnyOf",
    "columns": "commensal:column isAnyOf",
    "outputs": "commensal:outputKind isAnyOf",
    "not_after": "odrl:dateTime lt",
    "minimum_participants": "commensal:minParticipants gteq",
    "minimum_cohort": "commensal:cohortSize gteq",
    "epsilon_per_job": "commensal:epsilon lteq",
    "delta": "commensal:delta lteq",
    "budget_epsilon": "commensal:budgetEpsilon lteq",
}


def parse(content: bytes, place: str) -> Policy:
    """Read JSON-LD and lift it; `place` is named in errors.

    Raises `PolicyError`: ODRL_* with the path of what is not understood, POLICY_* as `lift` does.
    """
    try:
        policy = read.read(content, {})
    except PolicyError as error:
        message = f"the policy {place} is not ODRL that is understood here: {error.message}"
        raise PolicyError(error.code, message, error.remedy) from error
    return lift(policy, content.decode(), place)


def lift(odrl: model.Policy, text: str, place: str) -> Policy:
    """The typed policy of an ODRL policy that inherits nothing; `text` is kept as its rules.

    Raises `PolicyError`: POLICY_UNBOUNDED, with all operands that are missing; POLICY_INVALID.
    """
    permissions = _permissions(odrl, place)
    found = bounds.any_of(_bounds_of(permission, odrl) for permission in permissions)
    _complete(found, place)
    fields = {
        "id": policy_name(odrl.uid),
        "version": _version(odrl, place),
        "dataset": _dataset(permissions, place),
        "purposes": found.purposes,
        "tasks": found.tasks,
        "columns": found.columns,
        "outputs": found.outputs,
        "minimum_cohort": found.minimum_cohort,
        "minimum_participants": found.minimum_participants,
        "epsilon_per_job": found.epsilon_per_job,
        "budget": {"epsilon": found.budget_epsilon, "delta": found.delta},
        "not_before": found.not_before or _EARLIEST,
        "not_after": found.not_after,
        "approval": found.approval or _approval(odrl, permissions),
        "rules": text,
    }
    if found.hours_per_job is not None:
        fields["hours_per_job"] = found.hours_per_job
    try:
        return Policy.model_validate(fields)
    except ValidationError as error:
        raise _invalid(
            place, f"gives a node bounds that are not valid: {first_problem(error)}",
            "Correct the constraint that gives that bound",
        ) from error  # fmt: skip


def _permissions(odrl: model.Policy, place: str) -> list[Permission]:
    """The permissions that can permit a job, with what the policy shares filled in."""
    world = with_definitions(World(), odrl)
    placed = [inherit.placed(one, odrl.scope) for one in odrl.permissions]
    found = [
        one
        for one in placed
        if not one.scope.actions
        or any(covered_by(USE, action.iri, world) for action in one.scope.actions)
    ]
    if not found:
        raise _invalid(
            place, "permits no odrl:use, and that is what a job asks for",
            "Permit odrl:use, and prohibit the actions that it must not entail",
        )  # fmt: skip
    return found


def _bounds_of(permission: Permission, odrl: model.Policy) -> Bounds:
    own = bounds.all_of(permission.constraints)
    world = with_definitions(World(), odrl)
    actions = [one for one in permission.scope.actions if covered_by(USE, one.iri, world)]
    if not actions:
        return own
    return bounds.meet(own, bounds.any_of(bounds.all_of(one.refinements) for one in actions))


def _complete(found: Bounds, place: str) -> None:
    missing = [asked for field, asked in _NEEDED.items() if getattr(found, field) is None]
    if missing:
        operands = ", ".join(asked.partition(" ")[0] for asked in missing)
        raise PolicyError(
            "POLICY_UNBOUNDED",
            f"the policy {place} does not bound {operands} in every permission",
            f"Add a constraint to each permission: {', '.join(missing)}",
        )
    for field, asked in _NEEDED.items():
        if getattr(found, field) == ():
            operand = asked.partition(" ")[0]
            raise _invalid(
                place, f"can never permit a job: its constraints leave no {operand}",
                "Loosen one of them; all constraints of a permission must hold together",
            )  # fmt: skip


def _dataset(permissions: list[Permission], place: str) -> str:
    targets = {target for permission in permissions for target in permission.scope.targets}
    names = {target.uid for target in targets if isinstance(target, Asset)}
    if not all(permission.scope.targets for permission in permissions):
        raise PolicyError(
            "POLICY_UNBOUNDED", f"the policy {place} has a permission without target",
            "Name the dataset, such as urn:commensal:dataset:north/flchain",
        )  # fmt: skip
    if len(names) != 1 or not all(isinstance(target, Asset) for target in targets):
        raise _invalid(
            place, "is about several assets, or a collection",
            "Write one policy for each dataset, and name that dataset as the target",
        )  # fmt: skip
    return dataset_name(names.pop())


def _approval(odrl: model.Policy, permissions: list[Permission]) -> str:
    duties = (*odrl.obligations, *(duty for one in permissions for duty in one.duties))
    consent = any(action.iri == _OBTAIN_CONSENT for duty in duties for action in duty.scope.actions)
    return "person" if consent else "automatic"


def _version(odrl: model.Policy, place: str) -> int:
    stated = [value for iri, value in odrl.metadata if iri == VERSION]
    if not stated:
        return 1
    text = stated[0]
    if len(stated) > 1 or not isinstance(text, str) or not _is_count(text):
        raise _invalid(place, "has a dct:hasVersion that is not one whole number", 'Write "2"')
    return int(text)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _invalid(place: str, what: str, remedy: str) -> PolicyError:
    return PolicyError("POLICY_INVALID", f"the policy {place} {what}", remedy)
