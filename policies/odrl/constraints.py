"""Constraints and their operands, from JSON-LD."""

from dataclasses import dataclass
from decimal import Decimal

from policies.odrl import terms, values
from policies.odrl.model import AnyConstraint, Constraint, LogicalConstraint
from policies.odrl.nodes import NODE, Node, Nodes
from policies.odrl.strict import refusal, refuse, step
from policies.odrl.terms import Iri, Kind, LogicalOperator, Operator
from policies.odrl.values import Value, shorten

_ATOM = NODE | {"leftOperand", "operator", "rightOperand", "unit", "dataType"}
_LOGICAL = frozenset(operator.value for operator in LogicalOperator)
_REFUSED = {
    "rightOperandReference": "would have to be fetched, and nothing is fetched",
    "status": "states a fact, which comes from the world and not from a policy",
}


@dataclass(frozen=True, slots=True)
class Constraints:
    """Reads constraints in the context of `nodes`."""

    nodes: Nodes

    def read(self, value: object, path: str) -> AnyConstraint:
        """Read an atomic or a logical constraint. Raises `PolicyError`."""
        node = self.nodes.node(value, path, _ATOM | _LOGICAL | _REFUSED.keys())
        for key, why in _REFUSED.items():
            if key in node.fields:
                refuse("ODRL_TERM", node.at(key), why)
        logical = sorted(_LOGICAL & node.fields.keys())
        if not logical:
            self.nodes.expect_type(node, {"Constraint"})
            return self._atom(node)
        self.nodes.expect_type(node, {"LogicalConstraint", "Constraint"})
        if len(logical) > 1 or node.fields.keys() - NODE - _LOGICAL:
            refuse("ODRL_SYNTAX", node.path, "must have exactly one logical operator, and no other")
        operands = self.nodes.each(node, logical[0], self.read)
        if not operands:
            refuse("ODRL_SYNTAX", node.at(logical[0]), "has no operand")
        return LogicalConstraint(LogicalOperator(logical[0]), operands, self.nodes.id(node))

    def _atom(self, node: Node) -> Constraint:
        for key in ("leftOperand", "operator", "rightOperand"):
            if key not in node.fields:
                refuse("ODRL_SYNTAX", node.path, f"has no {key}")
        left = self.nodes.term(node.fields["leftOperand"], node.at("leftOperand"))
        if left not in terms.LEFT_OPERANDS:
            refuse("ODRL_TERM", node.at("leftOperand"), f"is not known here: {shorten(left)}",
                   "Use a left operand of ODRL 2.2 or of https://w3id.org/commensal/odrl#"
                   )  # fmt: skip
        operator = self.nodes.choice(node.fields["operator"], node.at("operator"), Operator)
        units = self.nodes.each(node, "unit", self.nodes.term)
        if len(units) > 1:
            refuse("ODRL_SYNTAX", node.at("unit"), "must be one unit")
        kinds = self._kinds(node, left)
        right = self.right_operand(node.fields["rightOperand"], kinds, node.at("rightOperand"))
        self._comparable(node, left, operator, right)
        return Constraint(left, operator, right, units[0] if units else None, self.nodes.id(node))

    def _kinds(self, node: Node, left: str) -> frozenset[Kind]:
        kinds = terms.LEFT_OPERANDS[left]
        for datatype in self.nodes.each(node, "dataType", self.nodes.term):
            kind = values.kind_of(datatype)
            kinds = kinds & ({kind} if kind else frozenset())
        if not kinds:
            refuse("ODRL_VALUE", node.at("dataType"), "does not suit the left operand")
        return kinds

    def _comparable(
        self, node: Node, left: str, operator: Operator, right: Value | tuple[Value, ...]
    ) -> None:
        if operator not in terms.ORDERED or left == terms.EVENT:
            return
        if isinstance(right, tuple | Iri | str):
            refuse("ODRL_VALUE", node.at("operator"), f"{operator.value} needs one value that "
                   "can be ordered")  # fmt: skip

    def right_operand(
        self, value: object, kinds: frozenset[Kind], path: str
    ) -> Value | tuple[Value, ...]:
        """Read one value, or a set of them. Raises `PolicyError` (ODRL_VALUE, ODRL_SYNTAX)."""
        if isinstance(value, dict) and value.keys() == {"@list"}:
            value = value["@list"]
        if isinstance(value, list):
            self.nodes.bound(value, path)
            if not value:
                refuse("ODRL_VALUE", path, "is empty")
            return tuple(
                self.literal(item, kinds, f"{path}[{index}]") for index, item in enumerate(value)
            )
        number = isinstance(value, Decimal | int) and not isinstance(value, bool)
        if self.nodes.context.dataspace and number:
            refuse("ODRL_SYNTAX", path, "is a bare number, which this protocol does not allow",
                   'Write "5", or {"@value": "5", "@type": "xsd:integer"}')  # fmt: skip
        return self.literal(value, kinds, path)

    def literal(self, value: object, kinds: frozenset[Kind], path: str) -> Value:
        """Read one value of these kinds. Raises `PolicyError`."""
        if isinstance(value, str):
            text = self.nodes.context.expand(value) if Kind.IRI in kinds else value
            return self._known(values.parse(text, kinds, path), path)
        if isinstance(value, Decimal | int) and not isinstance(value, bool):
            if Kind.NUMBER not in kinds:
                refuse("ODRL_VALUE", path, "must not be a number")
            return values.parse(str(value), {Kind.NUMBER}, path)
        if isinstance(value, dict) and value.keys() == {"@id"}:
            if Kind.IRI not in kinds:
                refuse("ODRL_VALUE", path, "must not be an IRI")
            text = value["@id"] if isinstance(value["@id"], str) else ""
            return self._known(
                values.parse(self.nodes.context.expand(text), {Kind.IRI}, path), path
            )
        if isinstance(value, dict) and {"@value"} <= value.keys() <= {"@value", "@type"}:
            return self._typed(value, kinds, path)
        raise refusal("ODRL_VALUE", path, "is not a value that is understood here")

    def _typed(self, value: dict[str, object], kinds: frozenset[Kind], path: str) -> Value:
        content = value["@value"]
        if isinstance(content, bool) or not isinstance(content, str | int | Decimal):
            refuse("ODRL_VALUE", step(path, "@value"), "is neither text nor a number")
        if "@type" not in value:
            return self.literal(content, kinds - {Kind.IRI}, path)
        datatype = self.nodes.term(value["@type"], step(path, "@type"))
        kind = values.kind_of(datatype)
        if kind is None or kind not in kinds:
            refuse("ODRL_VALUE", step(path, "@type"), "does not suit the left operand")
        return self._known(values.parse(str(content), {kind}, path), path)

    def _known(self, value: Value, path: str) -> Value:
        # A misspelt purpose would silently never match, and a prohibition of it never apply.
        if isinstance(value, Iri) and terms.is_misspelt_purpose(value.value):
            refuse("ODRL_TERM", path, "names no purpose of its vocabulary")
        return value
