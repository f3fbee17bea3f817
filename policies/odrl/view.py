"""A job at the gate as the ODRL evaluator sees it: a request to use one dataset, and the world.

The evaluator is the long way round to the same answer: every premise with its reason, for a
compliance report. The gate itself runs compiled closures over the same `operands`.
"""

from policies.odrl import operands, terms
from policies.odrl.naming import dataset_iri
from policies.odrl.terms import CC, ODRL, USE
from policies.odrl.world import Request, Values, World
from policies.policy import Policy
from policies.privacy import Budget
from policies.request import Facts, UsageRequest

# A job asks to use the dataset, whatever its task: only who may use it without reserve may run one.
ACTION = USE
# What using it entails: records are read, combined with others', and something new is made of them.
# A prohibition of any of these stands in a job's way. Nothing is copied, moved or handed on.
ENTAILED = (
    ODRL + "read", ODRL + "aggregate", ODRL + "derive", CC + "DerivativeWorks",
)  # fmt: skip
# What holds of every job, before anything is known of this one.
BACKGROUND = World(implies={ACTION: ENTAILED})


def target_of(request: UsageRequest) -> str:
    """The asset that a job asks for, by its IRI."""
    return dataset_iri(request.dataset)


def assignee_of(request: UsageRequest) -> str:
    """The party that asks: the permit's data user, as the permit names it."""
    return request.data_user


def world_of(policy: Policy, request: UsageRequest, facts: Facts) -> tuple[Request, World]:
    """The question that the gate decides, for `evaluate`. Operands are those of `operands`.

    `policy` gives the delta and the budget by which privacy is counted, and nothing else.
    """
    budget = Budget(policy.budget.epsilon, policy.budget.delta)
    known: dict[str, Values] = {}
    for iri, accessor in operands.operands(policy.budget.delta, budget).items():
        value = accessor(request, facts)
        if value is not None and iri != terms.DATE_TIME:
            known[iri] = value if isinstance(value, tuple) else (value,)
    # How long the job may take is its own statement, and no clock for anybody's duties.
    takes = known.pop(terms.ELAPSED_TIME)
    asked = Request(
        uid=request.digest,
        action=ACTION,
        assignee=assignee_of(request),
        target=target_of(request),
        context={terms.ELAPSED_TIME: takes},
    )
    return asked, World(now=facts.now, operands=known, implies=BACKGROUND.implies)
