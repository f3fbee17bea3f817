"""The typed policy of a hospital as an ODRL policy in our profile, so that others can read it.

One permission to use the dataset, with one constraint for each thing that the policy bounds. A
purpose is bounded by `isA`: who may do scientific research may train an algorithm (Art. 53(1)(e)
(ii) is a part of point (e)), and `policies.engine` follows the same hierarchy.

That a person must approve is a constraint, not a duty to obtain consent. A duty of a permission is
done by the assignee, and the data user cannot approve anything; while it is pending, ODRL leaves
the permission in force. What is meant is a condition on the state of the world, which holds, does
not hold, or is not known yet, and permits only if it holds: an ODRL constraint (2.5).

The policy's own `rules` must permit as well. Two policies that must both permit are one policy in
which each permission of the one carries the constraints of the other; prohibitions, and the
strategy for conflicts with them, come from `rules` alone, since the fields prohibit nothing.
"""

from dataclasses import replace
from decimal import Decimal

from policies import purposes
from policies.odrl import operands, read, terms
from policies.odrl.model import Action, Asset, Constraint, Permission, Scope
from policies.odrl.model import Policy as Odrl
from policies.odrl.naming import dataset_iri, policy_iri
from policies.odrl.terms import DCT, LEFT_OPERANDS, PROFILE, USE, Iri, Operator
from policies.odrl.values import Duration, Value
from policies.policy import Policy

VERSION = DCT + "hasVersion"
_HOUR = Decimal(3600)


def lower(policy: Policy) -> Odrl:
    """The same policy in ODRL, as a Set: who offers it adds the parties.

    Of requests to use the policy's dataset, `evaluate` permits exactly those that the policy's own
    rules in the engine allow. Raises `PolicyError` (ODRL_*) if `rules` cannot be read.
    """
    constraints = _constraints(policy)
    target = Asset(dataset_iri(policy.dataset))
    own = Odrl(
        uid=policy_iri(policy.id),
        permissions=(Permission(Scope((Action(USE),), (target,)), constraints),),
        profiles=(PROFILE,),
        metadata=((VERSION, str(policy.version)),),
    )
    return _joined(own, read.read(policy.rules.encode(), {})) if policy.rules else own


def _constraints(policy: Policy) -> tuple[Constraint, ...]:
    wide = tuple(Iri(purposes.by_name(name).iri) for name in policy.purposes)
    budget = policy.budget
    longest = Duration(0, policy.hours_per_job * _HOUR)
    found = (
        Constraint(terms.PURPOSE, Operator.IS_A, wide),
        _among(terms.TASK, policy.tasks),
        _among(terms.COLUMN, policy.columns),
        _among(terms.OUTPUT_KIND, policy.outputs),
        Constraint(terms.DATE_TIME, Operator.GTEQ, policy.not_before),
        Constraint(terms.DATE_TIME, Operator.LT, policy.not_after),
        _least(terms.MIN_PARTICIPANTS, policy.minimum_participants),
        _least(terms.COHORT_SIZE, policy.minimum_cohort),
        Constraint(terms.ELAPSED_TIME, Operator.LTEQ, longest),
        Constraint(terms.DELTA, Operator.LTEQ, budget.delta),
        Constraint(terms.EPSILON, Operator.LTEQ, policy.epsilon_per_job),
        Constraint(terms.BUDGET_EPSILON, Operator.LTEQ, budget.epsilon),
    )
    if policy.approval == "person":
        return (*found, Constraint(terms.APPROVAL, Operator.EQ, operands.GRANTED))
    return found


def _among(operand: str, names: tuple[str, ...]) -> Constraint:
    allowed: tuple[Value, ...] = tuple(operands.name(one, LEFT_OPERANDS[operand]) for one in names)
    return Constraint(operand, Operator.IS_ANY_OF, allowed)


def _least(operand: str, count: int) -> Constraint:
    return Constraint(operand, Operator.GTEQ, Decimal(count))


def _joined(own: Odrl, rules: Odrl) -> Odrl:
    (frame,) = own.permissions
    return replace(
        rules,
        uid=own.uid,
        permissions=tuple(_both(one, frame, rules.scope) for one in rules.permissions),
        profiles=tuple(dict.fromkeys((*own.profiles, *rules.profiles))),
        metadata=(*(one for one in rules.metadata if one[0] != VERSION), *own.metadata),
    )


def _both(permission: Permission, frame: Permission, shared: Scope) -> Permission:
    more = (one for one in frame.constraints if one not in permission.constraints)
    scope = permission.scope
    if not scope.targets and not shared.targets:
        scope = replace(scope, targets=frame.scope.targets)  # unsaid: about this dataset
    return replace(permission, scope=scope, constraints=(*permission.constraints, *more))
