"""ODRL 2.2 from JSON-LD: the Dataspace Protocol's profile, and plain ODRL.

Read as JSON with tables of terms (`context`), without a JSON-LD processor: what a processor would
drop silently (an unknown key, a term without definition) is an error here, with its path. Errors
are `PolicyError` with the codes ODRL_TERM (not understood), ODRL_SYNTAX (wrong shape), ODRL_VALUE,
ODRL_CYCLE and ODRL_TOO_LARGE; they repeat at most a few words of what was received.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.odrl import inherit, strict, terms, values
from policies.odrl.constraints import Constraints
from policies.odrl.context import DATASPACE, PLAIN, RDF_VALUE, Context, read_context
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    Asset,
    AssetCollection,
    Duty,
    Party,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
    Rule,
    Scope,
)
from policies.odrl.nodes import NODE, Node, Nodes
from policies.odrl.strict import refuse, step
from policies.odrl.terms import Kind
from policies.odrl.values import Value, shorten

_SCOPE = frozenset({"action", "target", "assigner", "assignee"})
_POLICY = NODE | _SCOPE | {
    "@context", "profile", "conflict", "inheritFrom", "permission", "prohibition", "obligation",
    "timestamp",
}  # fmt: skip
_RULE = NODE | _SCOPE | {"constraint"}
_ENTITY = NODE | {"source", "partOf", "refinement"}
_ACTION = NODE | {RDF_VALUE, "refinement", "includedIn", "implies"}


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
    policy = Reader.of(context).policy(value)
    return policy if known is None else inherit.resolve(policy, known)


@dataclass(frozen=True, slots=True)
class Reader:
    """Builds the model from JSON values.

    `lenient` is for graphs: there a rule may lack an action, and then is about every action, as in
    the ODRL test suite.
    """

    nodes: Nodes
    constraints: Constraints
    lenient: bool = False

    @classmethod
    def of(cls, context: Context = PLAIN, *, lenient: bool = False) -> "Reader":
        """A reader for documents in that context."""
        nodes = Nodes(context)
        return cls(nodes, Constraints(nodes), lenient)

    def policy(self, value: dict[str, object]) -> Policy:
        """Read the outermost object. Raises `PolicyError`."""
        metadata: list[tuple[str, Value]] = []
        node = self._policy_node(value, metadata)
        profiles = self.nodes.each(node, "profile", self._profile)
        policy = Policy(
            uid=self._required_id(node),
            kind=self._policy_kind(node),
            permissions=self.nodes.each(node, "permission", self._permission),
            prohibitions=self.nodes.each(node, "prohibition", self._prohibition),
            obligations=self.nodes.each(node, "obligation", self._duty),
            scope=self._scope(node),
            profiles=profiles,
            conflict=self._conflict(node),
            inherits=self.nodes.each(node, "inheritFrom", self.nodes.identifier),
            timestamp=self._timestamp(node),
            metadata=tuple(metadata),
        )
        self._complete(policy, node)
        inherit.check_collections(policy)
        return policy

    def _policy_node(self, value: dict[str, object], metadata: list[tuple[str, Value]]) -> Node:
        statements: dict[str, object] = {}
        rest: dict[str, object] = {}
        for key, item in value.items():
            iri = self.nodes.context.key(key)
            (statements if iri.startswith(terms.DCT) else rest)[key] = item
        for key, item in statements.items():
            place = step("$", key)
            for entry in item if isinstance(item, list) else [item]:
                kinds = frozenset({Kind.TEXT, Kind.IRI, Kind.INSTANT, Kind.DATE})
                metadata.append((self.nodes.context.key(key), self._statement(entry, kinds, place)))
        return self.nodes.node(rest, "$", _POLICY)

    def _statement(self, entry: object, kinds: frozenset[Kind], path: str) -> Value:
        if isinstance(entry, str):
            # Evidence, such as a signed permit, is longer than anything that is compared.
            if 0 < len(entry) <= values.MAX_STATEMENT:
                return entry
            return values.parse(entry, {Kind.TEXT}, path)
        return self.constraints.literal(entry, kinds, path)

    def _complete(self, policy: Policy, node: Node) -> None:
        if not (policy.permissions or policy.prohibitions or policy.obligations or policy.inherits):
            refuse("ODRL_SYNTAX", node.path, "has no permission, prohibition or obligation")
        if self.nodes.context.dataspace:
            self._complete_message(policy, node)
        if not self.lenient:
            self._complete_rules(policy, node)

    def _complete_rules(self, policy: Policy, node: Node) -> None:
        lists: tuple[tuple[str, tuple[Rule, ...]], ...] = (
            ("permission", policy.permissions),
            ("prohibition", policy.prohibitions),
            ("obligation", policy.obligations),
        )
        for name, rules in lists:
            for index, rule in enumerate(rules):
                path = f"{node.at(name)}[{index}]"
                if not rule.scope.actions and not policy.scope.actions:
                    refuse("ODRL_SYNTAX", path, "has no action")
                if any(not duty.scope.actions for duty in inherit.attached(rule)):
                    refuse("ODRL_SYNTAX", path, "has a duty without action")
                if policy.kind is not terms.PolicyKind.AGREEMENT:
                    continue
                if not (rule.scope.assigners or policy.scope.assigners):
                    refuse("ODRL_SYNTAX", path, "is agreed to without assigner (IM 2.1.3)")
                if not (rule.scope.assignees or policy.scope.assignees):
                    refuse("ODRL_SYNTAX", path, "is agreed to without assignee (IM 2.1.3)")

    def _complete_message(self, policy: Policy, node: Node) -> None:
        if policy.kind not in (terms.PolicyKind.OFFER, terms.PolicyKind.AGREEMENT):
            refuse("ODRL_SYNTAX", node.at("@type"), "must be Offer or Agreement in this protocol")
        if not policy.permissions and not policy.prohibitions:
            refuse("ODRL_SYNTAX", node.path, "needs a permission or a prohibition")
        if policy.kind is terms.PolicyKind.AGREEMENT:
            for name in ("target", "assigner", "assignee"):
                if name not in node.fields:
                    refuse("ODRL_SYNTAX", node.path, f"is an Agreement without {name}")

    # rules

    def _permission(self, value: object, path: str) -> Permission:
        node = self._rule(value, path, "duty", "Permission")
        return Permission(
            self._scope(node), self._constraints(node, "constraint"),
            self.nodes.each(node, "duty", self._duty), self.nodes.id(node),
        )  # fmt: skip

    def _prohibition(self, value: object, path: str) -> Prohibition:
        node = self._rule(value, path, "remedy", "Prohibition")
        return Prohibition(
            self._scope(node), self._constraints(node, "constraint"),
            self.nodes.each(node, "remedy", self._duty), self.nodes.id(node),
        )  # fmt: skip

    def _duty(self, value: object, path: str) -> Duty:
        node = self._rule(value, path, "consequence", "Duty")
        return Duty(
            self._scope(node), self._constraints(node, "constraint"),
            self.nodes.each(node, "consequence", self._duty), self.nodes.id(node),
        )  # fmt: skip

    def _rule(self, value: object, path: str, extra: str, kind: str) -> Node:
        node = self.nodes.node(value, path, _RULE | {extra})
        self.nodes.expect_type(node, {kind, "Rule"})
        return node

    def _scope(self, node: Node) -> Scope:
        return Scope(
            self.nodes.each(node, "action", self._action),
            self.nodes.each(node, "target", self._asset),
            self.nodes.each(node, "assigner", self._party),
            self.nodes.each(node, "assignee", self._party),
        )

    def _action(self, value: object, path: str) -> Action:
        if isinstance(value, str):
            return self._defined_action(Node({"@id": value}, path), ())
        node = self.nodes.node(value, path, _ACTION)
        refinements = self._constraints(node, "refinement")
        inner = node
        if RDF_VALUE in node.fields:
            if {"includedIn", "implies"} & node.fields.keys():
                refuse("ODRL_SYNTAX", node.path, "defines an action beside its rdf:value")
            place = f"{node.path}.rdf:value"
            item = node.fields[RDF_VALUE]
            named = {"@id": item} if isinstance(item, str) else item
            inner = self.nodes.node(named, place, _ACTION - {RDF_VALUE, "refinement"})
        return self._defined_action(inner, refinements)

    def _defined_action(self, node: Node, refinements: tuple[AnyConstraint, ...]) -> Action:
        raw = node.fields.get("@id")
        if not isinstance(raw, str):
            refuse("ODRL_SYNTAX", node.path, "names no action")
        iri = self.nodes.context.term(raw)
        parents = self.nodes.each(node, "includedIn", self.nodes.term)
        implies = self.nodes.each(node, "implies", self.nodes.term)
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
            return self.nodes.identifier(value, path)
        node = self.nodes.node(value, path, _ENTITY)
        named = self.nodes.types(node)
        other = {"Party": "Asset", "Asset": "Party"}[kind]
        if named & {other, f"{other}Collection"}:
            refuse("ODRL_SYNTAX", node.at("@type"), f"must be a {kind} or a {kind}Collection here")
        uid = self.nodes.id(node)
        sources = self.nodes.each(node, "source", self.nodes.identifier)
        refinements = self._constraints(node, "refinement")
        collection = f"{kind}Collection" in named or bool(sources or refinements)
        if len(sources) > 1 or (uid is None and not sources):
            refuse("ODRL_SYNTAX", node.path, f"must name one {kind.lower()}")
        part_of = self.nodes.each(node, "partOf", self.nodes.identifier)
        return uid, sources[0] if sources else None, part_of, refinements, collection

    def _constraints(self, node: Node, key: str) -> tuple[AnyConstraint, ...]:
        return self.nodes.each(node, key, self.constraints.read)

    # small parts

    def _policy_kind(self, node: Node) -> terms.PolicyKind:
        named = self.nodes.types(node) - {"Policy"}
        if "@type" not in node.fields:
            if self.nodes.context.dataspace:
                refuse("ODRL_SYNTAX", node.path, "has no @type")
            return terms.PolicyKind.SET
        if not named:
            return terms.PolicyKind.SET
        kinds = {kind.value: kind for kind in terms.PolicyKind}
        if len(named) > 1 or not named <= kinds.keys():
            refuse("ODRL_TERM", node.at("@type"), "must be one of Set, Offer, Agreement, Privacy")
        return kinds[named.pop()]

    def _profile(self, value: object, path: str) -> str:
        iri = self.nodes.identifier(value, path)
        if iri not in (terms.PROFILE, terms.COMMENSAL):
            # IM 2.1: who does not know a profile must stop processing the policy.
            refuse("ODRL_TERM", path, f"is a profile that is not known here: {shorten(iri)}",
                   f"Use {terms.PROFILE}, or none")  # fmt: skip
        return iri

    def _conflict(self, node: Node) -> terms.Conflict | None:
        if "conflict" not in node.fields:
            return None
        return self.nodes.choice(node.fields["conflict"], node.at("conflict"), terms.Conflict)

    def _timestamp(self, node: Node) -> str | None:
        if "timestamp" not in node.fields:
            return None
        value = node.fields["timestamp"]
        path = node.at("timestamp")
        if not self.nodes.context.dataspace or not isinstance(value, str):
            refuse("ODRL_SYNTAX", path, "must be text, in the Dataspace Protocol only")
        values.parse(value, {Kind.INSTANT}, path)
        return value

    def _required_id(self, node: Node) -> str:
        return self.nodes.id(node) or refuse("ODRL_SYNTAX", node.path, "has no @id")
