"""The diet of a training mix as ODRL operands, and a diet policy as ODRL constraints.

| operand | its value for one mix |
|---|---|
| commensal:generationDepth | generations of synthesis behind what comes out; 0 is real (D1) |
| commensal:freshRealShare | real rows collected since the last synthesis, by rows, 0 to 1 (D2) |
| commensal:freshRealWeight | the same by training weight (D2) |
| commensal:realRows | how many rows are real (D2) |
| commensal:unknownProvenance | things behind the mix of which nobody knows what they are (D4) |
| commensal:licence | the licence of every input that has rows; not known if one has none |
| commensal:dietRule | the names of the rules that hold: D1 to D10, licence |

What is not known here satisfies nothing. Shares are cut after so many places that a bound which is
not reached is never met by rounding.
"""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction

from policies.diet import DietReport
from policies.lineage import Lineage, Origin, ancestry
from policies.mix import DietPolicy, Mix
from policies.odrl import values
from policies.odrl.model import Constraint
from policies.odrl.terms import COMMENSAL, LEFT_OPERANDS, Operator
from policies.odrl.values import Value
from policies.odrl.world import Values

GENERATION_DEPTH = COMMENSAL + "generationDepth"
FRESH_REAL_SHARE = COMMENSAL + "freshRealShare"
FRESH_REAL_WEIGHT = COMMENSAL + "freshRealWeight"
REAL_ROWS = COMMENSAL + "realRows"
UNKNOWN_PROVENANCE = COMMENSAL + "unknownProvenance"
LICENCE = COMMENSAL + "licence"
DIET_RULE = COMMENSAL + "dietRule"

# A bound has at most 30 places (`values`), a share's denominator far fewer digits than the rest.
_CUT = Context(prec=80, rounding=ROUND_FLOOR)
# The rules that no number says.
_NAMED = ("D3", "D5", "D6", "D7", "D8", "D9", "D10")


def operands_of(report: DietReport, mix: Mix, lineage: Lineage) -> Mapping[str, Values]:
    """`World.operands` for a mix and the report that `diet.assess` made of it."""
    behind = ancestry(lineage, (portion.id for portion in mix.inputs))
    unknown = sum(lineage.origin(each) is None for each in behind.order) + bool(behind.cycle)
    real = sum(one.rows for one in mix.inputs if lineage.origin(one.id) is Origin.REAL)
    found: dict[str, Values] = {
        GENERATION_DEPTH: (Decimal(report.depth_max),),
        FRESH_REAL_SHARE: _share(report.fresh_share),
        FRESH_REAL_WEIGHT: _share(report.fresh_weight),
        REAL_ROWS: (Decimal(real),),
        UNKNOWN_PROVENANCE: (Decimal(unknown),),
        LICENCE: _licences(mix, lineage),
        DIET_RULE: tuple(one.rule for one in report.findings if one.satisfied is True),
    }
    return {operand: known for operand, known in found.items() if known}


def constraints_of(policy: DietPolicy, *, waived: bool = False) -> tuple[Constraint, ...]:
    """The bounds of a diet policy, as a permission to train asks for them.

    `waived`: a person allowed the deeper bound for this mix. A licensed share below 1 has no
    operand: then the rule is asked for by its name.
    """
    numbers = (
        (GENERATION_DEPTH, Operator.LTEQ, policy.g_max_waived if waived else policy.g_max),
        (FRESH_REAL_SHARE, Operator.GTEQ, policy.fresh_share),
        (FRESH_REAL_WEIGHT, Operator.GTEQ, policy.fresh_weight),
        (REAL_ROWS, Operator.GTEQ, policy.minimum_real_rows),
        (UNKNOWN_PROVENANCE, Operator.EQ, 0),
    )
    by_licence = policy.licensed_share == 1 and bool(policy.licences)
    named = _NAMED if by_licence else (*_NAMED, "licence")
    accepted = tuple(_name(each) for each in sorted(policy.licences))
    return (
        *(Constraint(left, operator, Decimal(right)) for left, operator, right in numbers),
        Constraint(DIET_RULE, Operator.IS_ALL_OF, named),
        *((Constraint(LICENCE, Operator.IS_ANY_OF, accepted),) if by_licence else ()),
    )


def _share(share: Fraction | None) -> Values:
    if share is None:
        return ()
    return (_CUT.divide(Decimal(share.numerator), Decimal(share.denominator)),)


def _licences(mix: Mix, lineage: Lineage) -> Values:
    found: dict[Value, None] = {}
    for portion in mix.inputs:
        node = lineage.by_id.get(portion.id)
        if portion.rows and (node is None or not node.licence):
            return ()
        if portion.rows and node is not None and node.licence:
            found[_name(node.licence)] = None
    return tuple(found)


def _name(licence: str) -> Value:
    """As the reader of policies understands it: an IRI where it is one, else text."""
    return values.parse(licence, LEFT_OPERANDS[LICENCE], "a licence")
