"""A policy as JSON-LD: plain ODRL 2.2, or as the Dataspace Protocol sends it.

`read.read(write(policy)) == policy` for every policy that can be written. In the protocol, terms
that its context lacks carry the `odrl:` prefix (a JSON-LD processor would drop them otherwise) and
numbers are typed strings. One thing has no form that the protocol's JSON Schema allows: an action
with refinements, or one that is defined here, is written as an object where it wants a string.
"""

import json

from policies.odrl import values
from policies.odrl.context import DATASPACE, DSP_CONTEXT, ODRL_CONTEXT, PLAIN, RDF_VALUE, Context
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    AssetCollection,
    LogicalConstraint,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
    Rule,
    Scope,
)
from policies.odrl.read import read_embedded
from policies.odrl.strict import refuse
from policies.odrl.terms import DCT, LEFT_OPERANDS, ODRL, Iri, Kind
from policies.odrl.values import Value

Json = dict[str, object]

# Terms that the protocol's ODRL context defines; the others get the prefix.
_IN_PROTOCOL = frozenset({
    "profile", "target", "assignee", "assigner", "action", "permission", "prohibition",
    "obligation", "duty", "constraint", "operator", "rightOperand", "leftOperand",
    "or", "xone", "and", "andSequence", "timestamp",
})  # fmt: skip
_SHORT_ACTIONS = frozenset({"use"})


def write(policy: Policy) -> bytes:
    """Plain ODRL 2.2 JSON-LD, UTF-8. Raises `PolicyError` for what has no such form."""
    return _bytes({"@context": ODRL_CONTEXT, **_checked(policy, PLAIN)})


def write_dataspace(policy: Policy) -> bytes:
    """An Offer or Agreement of the Dataspace Protocol as a document of its own, UTF-8.

    Raises `PolicyError` for what the protocol cannot carry (a Set, obligations alone).
    """
    return _bytes({"@context": [DSP_CONTEXT], **embed(policy)})


def embed(policy: Policy) -> Json:
    """The same without `@context`, to be placed inside a message of the protocol."""
    return _checked(policy, DATASPACE)


def _checked(policy: Policy, context: Context) -> Json:
    # Read back before it leaves: a policy built by hand may lack what its form requires, and a
    # receiver must not understand anything else than what was meant.
    document = _Writer(context).policy(policy)
    if read_embedded(document, context=context) != policy:
        refuse("ODRL_SYNTAX", "$", "is a policy that this form cannot carry without loss")
    return document


def _bytes(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


class _Writer:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._protocol = context.dataspace

    def policy(self, policy: Policy) -> Json:
        node: Json = {"@id": policy.uid, "@type": policy.kind.value}
        self._put(node, "profile", list(policy.profiles))
        self._put(node, "inheritFrom", list(policy.inherits))
        if policy.conflict is not None:
            self._put(node, "conflict", self._term(policy.conflict.value))
        if policy.timestamp is not None:
            self._put(node, "timestamp", policy.timestamp)
        for iri, value in policy.metadata:
            key = "dct:" + iri.removeprefix(DCT)
            entries = node.setdefault(key, [])
            if isinstance(entries, list):
                entries.append(self._statement(value))
        self._scope(node, policy.scope)
        self._put(node, "permission", [self._rule(rule) for rule in policy.permissions])
        self._put(node, "prohibition", [self._rule(rule) for rule in policy.prohibitions])
        self._put(node, "obligation", [self._rule(rule) for rule in policy.obligations])
        return node

    def _rule(self, rule: Rule) -> Json:
        node: Json = {"@id": rule.uid} if rule.uid is not None else {}
        self._scope(node, rule.scope)
        self._put(node, "constraint", [self._constraint(one) for one in rule.constraints])
        if isinstance(rule, Permission):
            self._put(node, "duty", [self._rule(duty) for duty in rule.duties])
        elif isinstance(rule, Prohibition):
            self._put(node, "remedy", [self._rule(duty) for duty in rule.remedies])
        else:
            self._put(node, "consequence", [self._rule(duty) for duty in rule.consequences])
        return node

    def _scope(self, node: Json, scope: Scope) -> None:
        for key, entries in (
            ("action", [self._action(action) for action in scope.actions]),
            ("target", [self._entity(asset) for asset in scope.targets]),
            ("assigner", [self._entity(party) for party in scope.assigners]),
            ("assignee", [self._entity(party) for party in scope.assignees]),
        ):
            self._put(node, key, entries[0] if len(entries) == 1 else entries)

    def _action(self, action: Action) -> object:
        definition: Json = {}
        if action.included_in is not None:
            self._put(definition, "includedIn", self._iri(action.included_in))
        self._put(definition, "implies", [self._iri(iri) for iri in action.implies])
        name = self._iri(action.iri)
        if not definition and not action.refinements:
            return name
        node: Json = {"@id": name, **definition}
        if action.refinements:
            node = {RDF_VALUE: node}
            self._put(node, "refinement", [self._constraint(one) for one in action.refinements])
        return node

    def _entity(self, entity: AnyParty | AnyAsset) -> object:
        if not isinstance(entity, PartyCollection | AssetCollection):
            if not entity.part_of:
                return entity.uid
            node: Json = {"@id": entity.uid}
            self._put(node, "partOf", list(entity.part_of))
            return node
        kind = "PartyCollection" if isinstance(entity, PartyCollection) else "AssetCollection"
        node = {"@type": self._term(kind)}
        if entity.uid is not None:
            node["@id"] = entity.uid
        if entity.source is not None:
            self._put(node, "source", entity.source)
        self._put(node, "partOf", list(entity.part_of))
        self._put(node, "refinement", [self._constraint(one) for one in entity.refinements])
        return node

    def _constraint(self, constraint: AnyConstraint) -> Json:
        node: Json = {"@id": constraint.uid} if constraint.uid is not None else {}
        if isinstance(constraint, LogicalConstraint):
            operands = [self._constraint(one) for one in constraint.operands]
            self._put(node, constraint.operator.value, operands)
            return node
        kinds = LEFT_OPERANDS[constraint.left]
        self._put(node, "leftOperand", self._iri(constraint.left))
        self._put(node, "operator", constraint.operator.value)
        right = constraint.right
        self._put(
            node, "rightOperand",
            [self._value(value, kinds) for value in right] if isinstance(right, tuple)
            else self._value(right, kinds),
        )  # fmt: skip
        if constraint.unit is not None:
            self._put(node, "unit", self._iri(constraint.unit))
        return node

    def _value(self, value: Value, kinds: frozenset[Kind]) -> object:
        """The plainest spelling that is read back as exactly this value."""
        text, datatype = values.spell(value)
        if isinstance(value, Iri):
            return text if self._context.expand(text) == text else {"@id": text}
        typed = {"@value": text, "@type": datatype}
        if datatype in (_XSD_NUMBERS):
            return typed
        expanded = self._context.expand(text) if Kind.IRI in kinds else text
        again = values.parse(expanded, kinds, "$")
        return text if type(again) is type(value) and again == value else typed

    def _statement(self, value: Value) -> object:
        text, datatype = values.spell(value)
        if isinstance(value, str):
            return text
        return {"@id": text} if isinstance(value, Iri) else {"@value": text, "@type": datatype}

    def _iri(self, iri: str) -> str:
        name = iri.removeprefix(ODRL)
        if name == iri:
            return iri
        plain = not self._protocol or name in _SHORT_ACTIONS
        return name if plain and ":" not in name else f"odrl:{name}"

    def _term(self, name: str) -> str:
        return f"odrl:{name}" if self._protocol else name

    def _put(self, node: Json, key: str, value: object) -> None:
        if value == []:
            return
        node[key if not self._protocol or key in _IN_PROTOCOL else f"odrl:{key}"] = value


_XSD_NUMBERS = frozenset(
    values.spell(number)[1]
    for number in (values.parse(text, {Kind.NUMBER}, "$") for text in ("1", "0.5", "1E-30"))
)
