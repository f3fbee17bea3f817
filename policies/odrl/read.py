"""ODRL 2.2 from JSON-LD: the Dataspace Protocol's profile, and plain ODRL.

Read as JSON with tables of terms (`context`), without a JSON-LD processor: what a processor would
drop silently (an unknown key, a term without definition) is an error here, with its path. Errors
are `PolicyError` with the codes ODRL_TERM (not understood), ODRL_SYNTAX (wrong shape), ODRL_VALUE,
ODRL_CYCLE and ODRL_TOO_LARGE; they repeat at most a few words of what was received.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from policies.odrl import inherit, strict, terms, values
from policies.odrl.context import DATASPACE, PLAIN, Context, read_context
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    Asset,
    AssetCollection,
    Constraint,
    Duty,
    LogicalConstraint,
    Party,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.strict import refuse, step
from policies.odrl.terms import Iri, Kind, LogicalOperator, Operator
from policies.odrl.values import Value, shorten

MAX_LIST = 5000
_Term = TypeVar("_Term", bound=StrEnum)
_Item = TypeVar("_Item")

_SCOPE = frozenset({"action", "target", "assigner", "assignee"})
_NODE = frozenset({"@id", "@type"})
_POLICY = _NODE | _SCOPE | {
    "@context", "profile", "conflict", "inheritFrom", "permission", "prohibition", "obligation",
    "timestamp",
}  # fmt: skip
_RULE = _NODE | _SCOPE | {"constraint"}
_ATOM = _NODE | {"leftOperand", "operator", "rightOperand", "unit", "dataType"}
_LOGICAL = frozenset(operator.value for operator in LogicalOperator)
_ENTITY = _NODE | {"source", "partOf", "refinement"}
_ACTION = _NODE | {"rdf:value", "refinement", "includedIn", "implies"}
_REFUSED = {
    "rightOperandReference": "would have to be fetched, and nothing is fetched",
    "status": "states a fact, which comes from the world and not from a policy",
}


def read(content: bytes, known: Mapping[str, Policy] | None = None) -> Policy:
    """Read one policy document, with its `@context`.

    With `known` (policies by uid) what it inherits is merged in; without, `Policy.inherits` still
    names the parents. Raises `PolicyError`.
    """
    value = strict.load(content)
    if not isinstance(value, dict) or "@context" not in value:
        refuse("ODRL_SYNTAX", "$", "must be an object with an @context")
    return _finish(value, read_context(value["@context"], "$.@context"), known)


def read_embedded(
    value: object, known: Mapping[str, Policy] | None = None, *, context: Context = DATASPACE
) -> Policy:
    """Read a policy inside a message that was already parsed, whose `@context` is the message's.

    Raises `PolicyError`.
    """
    strict.check(value)
    if not isinstance(value, dict):
        refuse("ODRL_SYNTAX", "$", "must be an object")
    if "@context" in value:
        context = read_context(value["@context"], "$.@context")
    return _finish(value, context, known)


def _finish(
    value: dict[str, object], context: Context, known: Mapping[str, Policy] | None
) -> Policy:
    policy = Reader(context).policy(value)
    return policy if known is None else inherit.resolve(policy, known)


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the document, with its keys in their shortest form."""

    fields: dict[str, object]
    path: str

    def at(self, key: str) -> str:
        return step(self.path, key)


@dataclass(frozen=True, slots=True)
class Reader:
    """Builds the model from JSON values. `lenient` is for graphs, where a rule may lack an action
    (it then is about every action, as in the ODRL test suite).
    """  # noqa: D205 - one sentence that does not fit on a line

    context: Context = PLAIN
    lenient: bool = False

    def policy(self, value: dict[str, object]) -> Policy:
        """Read the outermost object. Raises `PolicyError`."""
        metadata: list[tuple[str, Value]] = []
        node = self._policy_node(value, metadata)
        scope = self._scope(node)
        policy = Policy(
            uid=self._required_id(node),
            kind=self._policy_kind(node),
            permissions=self._each(node, "permission", self._permission),
            prohibitions=self._each(node, "prohibition", self._prohibition),
            obligations=self._each(node, "obligation", self._duty),
            scope=scope,
            profiles=self._each(node, "profile", self._profile),
            conflict=self._conflict(node),
            inherits=self._each(node, "inheritFrom", self.identifier),
            timestamp=self._timestamp(node),
            metadata=tuple(metadata),
        )
        self._complete(policy, node)
        inherit.check_collections(policy)
        return policy

    def _policy_node(
        self, value: dict[str, object], metadata: list[tuple[str, Value]]
    ) -> Node:
        statements, rest = {}, {}
        for key, item in value.items():
            iri = self.context.key(key)
            (statements if iri.startswith(terms.DCT) else rest)[key] = item
        for key, item in statements.items():
            place = step("$", key)
            for entry in item if isinstance(item, list) else [item]:
                kinds = frozenset({Kind.TEXT, Kind.IRI, Kind.INSTANT, Kind.DATE})
                metadata.append((self.context.key(key), self._statement(entry, kinds, place)))
        return self._node(rest, "$", _POLICY)

    def _statement(self, entry: object, kinds: frozenset[Kind], path: str) -> Value:
        if isinstance(entry, str):
            return values.parse(entry, {Kind.TEXT}, path)
        return self._literal(entry, kinds, path)

    def _complete(self, policy: Policy, node: Node) -> None:
        if not (policy.permissions or policy.prohibitions or policy.obligations or policy.inherits):
            refuse("ODRL_SYNTAX", node.path, "has no permission, prohibition or obligation")
        if self.context.dataspace:
            self._complete_message(policy, node)
        if self.lenient:
            return
        if policy.kind is terms.PolicyKind.AGREEMENT:
            rules = (*policy.permissions, *policy.prohibitions, *policy.obligations)
            for role, name in (("assigners", "assigner"), ("assignees", "assignee")):
                if not getattr(policy.scope, role) and not all(
                    getattr(rule.scope, role) for rule in rules
                ):
                    refuse("ODRL_SYNTAX", node.path, f"is an Agreement without {name} (IM 2.1.3)")

    def _complete_message(self, policy: Policy, node: Node) -> None:
        if policy.kind is terms.PolicyKind.SET:
            refuse("ODRL_SYNTAX", node.at("@type"), "must be Offer or Agreement in this protocol")
        if not policy.permissions and not policy.prohibitions:
            refuse("ODRL_SYNTAX", node.path, "needs a permission or a prohibition")
        if policy.kind is terms.PolicyKind.AGREEMENT and not policy.scope.targets:
            refuse("ODRL_SYNTAX", node.path, "is an Agreement without target")

    # rules

    def _permission(self, value: object, path: str) -> Permission:
        node = self._rule(value, path, "duty", "Permission")
        return Permission(
            self._scope(node), self._constraints(node, "constraint"),
            self._each(node, "duty", self._duty), self._id(node),
        )  # fmt: skip

    def _prohibition(self, value: object, path: str) -> Prohibition:
        node = self._rule(value, path, "remedy", "Prohibition")
        return Prohibition(
            self._scope(node), self._constraints(node, "constraint"),
            self._each(node, "remedy", self._duty), self._id(node),
        )  # fmt: skip

    def _duty(self, value: object, path: str) -> Duty:
        node = self._rule(value, path, "consequence", "Duty")
        return Duty(
            self._scope(node), self._constraints(node, "constraint"),
            self._each(node, "consequence", self._duty), self._id(node),
        )  # fmt: skip

    def _rule(self, value: object, path: str, extra: str, kind: str) -> Node:
        node = self._node(value, path, _RULE | {extra})
        self._expect_type(node, {kind, "Rule"})
        if "action" not in node.fields and not self.lenient:
            refuse("ODRL_SYNTAX", node.path, "has no action")
        return node

    def _scope(self, node: Node) -> Scope:
        return Scope(
            self._each(node, "action", self._action),
            self._each(node, "target", self._asset),
            self._each(node, "assigner", self._party),
            self._each(node, "assignee", self._party),
        )

    def _action(self, value: object, path: str) -> Action:
        if isinstance(value, str):
            return self._defined_action(Node({"@id": value}, path), ())
        node = self._node(value, path, _ACTION)
        refinements = self._constraints(node, "refinement")
        inner = node
        if "rdf:value" in node.fields:
            if {"includedIn", "implies"} & node.fields.keys():
                refuse("ODRL_SYNTAX", node.path, "defines an action beside its rdf:value")
            place = node.at("rdf:value")
            item = node.fields["rdf:value"]
            named = {"@id": item} if isinstance(item, str) else item
            inner = self._node(named, place, _ACTION - {"rdf:value", "refinement"})
        return self._defined_action(inner, refinements)

    def _defined_action(self, node: Node, refinements: tuple[AnyConstraint, ...]) -> Action:
        raw = node.fields.get("@id")
        if not isinstance(raw, str):
            refuse("ODRL_SYNTAX", node.path, "names no action")
        iri = self.context.term(raw)
        parents = self._each(node, "includedIn", self._term)
        implies = self._each(node, "implies", self._term)
        if len(parents) > 1:
            refuse("ODRL_SYNTAX", node.at("includedIn"), "must be one action")
        if terms.is_core_action(iri):
            if parents:
                refuse("ODRL_SYNTAX", node.at("includedIn"), "redefines an action of ODRL itself")
        elif not parents or not terms.is_core_action(parents[0]):
            refuse("ODRL_TERM", node.path, f"is an action that is not known here: {shorten(raw)}",
                   "Use an action of ODRL 2.2, or say in which it is included")  # fmt: skip
        return Action(iri, refinements, parents[0] if parents else None, implies)

    # parties and assets

    def _party(self, value: object, path: str) -> AnyParty:
        fields = self._entity(value, path, "Party")
        if isinstance(fields, str):
            return Party(fields)
        uid, source, part_of, refinements, collection = fields
        if collection:
            return PartyCollection(uid, source, part_of, refinements)
        return Party(uid or "", part_of)

    def _asset(self, value: object, path: str) -> AnyAsset:
        fields = self._entity(value, path, "Asset")
        if isinstance(fields, str):
            return Asset(fields)
        uid, source, part_of, refinements, collection = fields
        if collection:
            return AssetCollection(uid, source, part_of, refinements)
        return Asset(uid or "", part_of)

    def _entity(
        self, value: object, path: str, kind: str
    ) -> str | tuple[str | None, str | None, tuple[str, ...], tuple[AnyConstraint, ...], bool]:
        if isinstance(value, str):
            return self.identifier(value, path)
        node = self._node(value, path, _ENTITY)
        named = self._types(node)
        other = {"Party": "Asset", "Asset": "Party"}[kind]
        if named & {other, f"{other}Collection"}:
            refuse("ODRL_SYNTAX", node.at("@type"), f"must be a {kind} or a {kind}Collection here")
        uid = self._id(node)
        sources = self._each(node, "source", self.identifier)
        refinements = self._constraints(node, "refinement")
        collection = f"{kind}Collection" in named or bool(sources or refinements)
        if len(sources) > 1 or (uid is None and not sources):
            refuse("ODRL_SYNTAX", node.path, f"must name one {kind.lower()}")
        return (
            uid, sources[0] if sources else None, self._each(node, "partOf", self.identifier),
            refinements, collection,
        )  # fmt: skip

    # constraints

    def _constraints(self, node: Node, key: str) -> tuple[AnyConstraint, ...]:
        return self._each(node, key, self.constraint)

    def constraint(self, value: object, path: str) -> AnyConstraint:
        """Read an atomic or a logical constraint. Raises `PolicyError`."""
        node = self._node(value, path, _ATOM | _LOGICAL | _REFUSED.keys())
        for key, why in _REFUSED.items():
            if key in node.fields:
                refuse("ODRL_TERM", node.at(key), why)
        logical = sorted(_LOGICAL & node.fields.keys())
        if not logical:
            self._expect_type(node, {"Constraint"})
            return self._atom(node)
        self._expect_type(node, {"LogicalConstraint", "Constraint"})
        if len(logical) > 1 or node.fields.keys() - _NODE - _LOGICAL:
            refuse("ODRL_SYNTAX", node.path, "must have exactly one logical operator, and no other")
        operands = self._each(node, logical[0], self.constraint)
        if not operands:
            refuse("ODRL_SYNTAX", node.at(logical[0]), "has no operand")
        return LogicalConstraint(LogicalOperator(logical[0]), operands, self._id(node))

    def _atom(self, node: Node) -> Constraint:
        for key in ("leftOperand", "operator", "rightOperand"):
            if key not in node.fields:
                refuse("ODRL_SYNTAX", node.path, f"has no {key}")
        left = self._term(node.fields["leftOperand"], node.at("leftOperand"))
        if left not in terms.LEFT_OPERANDS:
            refuse("ODRL_TERM", node.at("leftOperand"), f"is not known here: {shorten(left)}",
                   "Use a left operand of ODRL 2.2 or of https://w3id.org/commensal/odrl#"
                   )  # fmt: skip
        operator = self._choice(node.fields["operator"], node.at("operator"), Operator)
        units = self._each(node, "unit", self._term)
        if len(units) > 1:
            refuse("ODRL_SYNTAX", node.at("unit"), "must be one unit")
        kinds = self._kinds(node, left)
        right = self.right_operand(node.fields["rightOperand"], kinds, node.at("rightOperand"))
        self._comparable(node, left, operator, right)
        return Constraint(left, operator, right, units[0] if units else None, self._id(node))

    def _kinds(self, node: Node, left: str) -> frozenset[Kind]:
        kinds = terms.LEFT_OPERANDS[left]
        for datatype in self._each(node, "dataType", self._term):
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
            self._bound(value, path)
            if not value:
                refuse("ODRL_VALUE", path, "is empty")
            return tuple(
                self._literal(item, kinds, f"{path}[{index}]") for index, item in enumerate(value)
            )
        if self.context.dataspace and isinstance(value, Decimal | int):
            refuse("ODRL_SYNTAX", path, "is a bare number, which this protocol does not allow",
                   'Write "5", or {"@value": "5", "@type": "xsd:integer"}')  # fmt: skip
        return self._literal(value, kinds, path)

    def _literal(self, value: object, kinds: frozenset[Kind], path: str) -> Value:
        if isinstance(value, str):
            text = self.context.expand(value) if Kind.IRI in kinds else value
            return self._known(values.parse(text, kinds, path), path)
        if isinstance(value, Decimal | int) and not isinstance(value, bool):
            return values.parse(str(value), kinds & {Kind.NUMBER}, path) if (
                Kind.NUMBER in kinds
            ) else refuse("ODRL_VALUE", path, "must not be a number")  # fmt: skip
        if isinstance(value, dict) and value.keys() == {"@id"}:
            if Kind.IRI not in kinds:
                refuse("ODRL_VALUE", path, "must not be an IRI")
            text = value["@id"] if isinstance(value["@id"], str) else ""
            return self._known(values.parse(self.context.expand(text), {Kind.IRI}, path), path)
        if isinstance(value, dict) and {"@value"} <= value.keys() <= {"@value", "@type"}:
            return self._typed(value, kinds, path)
        refuse("ODRL_VALUE", path, "is not a value that is understood here")

    def _typed(self, value: dict[str, object], kinds: frozenset[Kind], path: str) -> Value:
        content = value["@value"]
        if isinstance(content, bool) or not isinstance(content, str | int | Decimal):
            refuse("ODRL_VALUE", step(path, "@value"), "is neither text nor a number")
        if "@type" not in value:
            return self._literal(content, kinds - {Kind.IRI}, path)
        datatype = self._term(value["@type"], step(path, "@type"))
        kind = values.kind_of(datatype)
        if kind is None or kind not in kinds:
            refuse("ODRL_VALUE", step(path, "@type"), "does not suit the left operand")
        return self._known(values.parse(str(content), {kind}, path), path)

    def _known(self, value: Value, path: str) -> Value:
        # A misspelt purpose would silently never match, and a prohibition of it never apply.
        if isinstance(value, Iri) and terms.is_misspelt_purpose(value.value):
            refuse("ODRL_TERM", path, "names no purpose of its vocabulary")
        return value

    # small parts

    def _policy_kind(self, node: Node) -> terms.PolicyKind:
        named = self._types(node) - {"Policy"}
        if "@type" not in node.fields:
            if self.context.dataspace:
                refuse("ODRL_SYNTAX", node.path, "has no @type")
            return terms.PolicyKind.SET
        if not named:
            return terms.PolicyKind.SET
        kinds = {kind.value: kind for kind in terms.PolicyKind}
        if len(named) > 1 or not named <= kinds.keys():
            refuse("ODRL_TERM", node.at("@type"), "must be one of Set, Offer, Agreement")
        return kinds[named.pop()]

    def _profile(self, value: object, path: str) -> str:
        iri = self.identifier(value, path)
        if iri not in (terms.PROFILE, terms.COMMENSAL):
            # IM 2.1: who does not know a profile must stop processing the policy.
            refuse("ODRL_TERM", path, f"is a profile that is not known here: {shorten(iri)}",
                   f"Use {terms.PROFILE}, or none")  # fmt: skip
        return iri

    def _conflict(self, node: Node) -> terms.Conflict | None:
        if "conflict" not in node.fields:
            return None
        return self._choice(node.fields["conflict"], node.at("conflict"), terms.Conflict)

    def _timestamp(self, node: Node) -> str | None:
        if "timestamp" not in node.fields:
            return None
        value = node.fields["timestamp"]
        path = node.at("timestamp")
        if not self.context.dataspace or not isinstance(value, str):
            refuse("ODRL_SYNTAX", path, "must be text, in the Dataspace Protocol only")
        values.parse(value, {Kind.INSTANT}, path)
        return value

    def _choice(self, value: object, path: str, choices: type[_Term]) -> _Term:
        iri = self._term(value, path)
        for choice in choices:
            if iri == terms.ODRL + choice.value:
                return choice
        known = ", ".join(choice.value for choice in choices)
        refuse("ODRL_TERM", path, f"is not known here: {shorten(iri)}", f"Use one of: {known}")

    def _term(self, value: object, path: str) -> str:
        if isinstance(value, dict) and value.keys() == {"@id"}:
            value = value["@id"]
        if not isinstance(value, str):
            refuse("ODRL_SYNTAX", path, "must be a term")
        iri = self.context.term(value)
        if not values.is_iri(iri):
            refuse("ODRL_TERM", path, f"is not a term: {shorten(value)}")
        return iri

    def identifier(self, value: object, path: str) -> str:
        """An identifier: an IRI, or for the Dataspace Protocol any text without spaces."""
        if isinstance(value, dict) and value.keys() == {"@id"}:
            value = value["@id"]
        if not isinstance(value, str):
            refuse("ODRL_SYNTAX", path, "must be an identifier")
        iri = self.context.expand(value)
        if not iri or len(iri) > values.MAX_TEXT or not iri.isprintable() or " " in iri:
            refuse("ODRL_VALUE", path, f"is not an identifier: {shorten(value)}")
        if not self.context.dataspace and not values.is_iri(iri):
            refuse("ODRL_VALUE", path, f"is not an absolute IRI: {shorten(value)}")
        return iri

    def _id(self, node: Node) -> str | None:
        if "@id" not in node.fields:
            return None
        return self.identifier(node.fields["@id"], node.at("@id"))

    def _required_id(self, node: Node) -> str:
        return self._id(node) or refuse("ODRL_SYNTAX", node.path, "has no @id")

    def _types(self, node: Node) -> set[str]:
        raw = node.fields.get("@type", [])
        named = raw if isinstance(raw, list) else [raw]
        self._bound(named, node.at("@type"))
        iris = [self._term(item, node.at("@type")) for item in named]
        return {iri.removeprefix(terms.ODRL) for iri in iris if iri.startswith(terms.ODRL)}

    def _expect_type(self, node: Node, allowed: set[str]) -> None:
        if not self._types(node) <= allowed:
            refuse("ODRL_SYNTAX", node.at("@type"), f"must be {sorted(allowed)[0]} here")

    def _each(
        self, node: Node, key: str, read_one: Callable[[object, str], _Item]
    ) -> tuple[_Item, ...]:
        if key not in node.fields:
            return ()
        value = node.fields[key]
        path = node.at(key)
        if isinstance(value, dict) and value.keys() == {"@list"}:
            value = value["@list"]
        if not isinstance(value, list):
            if self.context.dataspace and key in ("permission", "prohibition", "obligation"):
                refuse("ODRL_SYNTAX", path, "must be an array in this protocol")
            return (read_one(value, path),)
        self._bound(value, path)
        return tuple(read_one(item, f"{path}[{index}]") for index, item in enumerate(value))

    def _bound(self, value: list[object], path: str) -> None:
        if len(value) > MAX_LIST:
            refuse("ODRL_TOO_LARGE", path, f"has more than {MAX_LIST} entries")

    def _node(self, value: object, path: str, allowed: frozenset[str]) -> Node:
        if not isinstance(value, dict):
            refuse("ODRL_SYNTAX", path, "must be an object, written out where it is used")
        fields: dict[str, object] = {}
        for key, item in value.items():
            name = self.context.key(key)
            if name in fields:
                if name == "@id" and fields[name] == item:
                    continue
                refuse("ODRL_SYNTAX", step(path, key), "is given twice, under two spellings")
            if name not in allowed:
                refuse("ODRL_TERM", step(path, key), f"is not known here: {shorten(key)}",
                       "Remove it; what is not understood is never ignored")  # fmt: skip
            fields[name] = item
        return Node(fields, path)
