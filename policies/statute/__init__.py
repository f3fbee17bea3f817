"""The law as code: one small function per rule, in the module of its article.

Rule numbers are those of the project's reading of Regulation (EU) 2025/327. `RULES` is what the
engine evaluates for a request; `RULES_BY_MOMENT` is everything that can be asked at a moment. A
fact that is missing never satisfies a rule.

R01  deny   article_68.permit_is_in_force, permit_is_the_newest
R02  deny   article_68.permit_covers_the_date, permit_period_is_lawful, extension_is_lawful
R03  deny   article_53.purpose_is_allowed, purposes_are_listed; article_68.permit_covers_the_use
R04  deny   article_53.actor_may_pursue
     route  people.applicant_is_qualified: a person decides, because expertise is judged
R05  deny   article_54.use_is_not_prohibited, declaration_is_complete, output_use_is_not_prohibited;
            article_67.ethics_reference_is_there
     route  people.use_is_not_detrimental, use_is_ethical: a person decides, because decisions lie
            in the future and ethics is a committee's
R06  deny   article_73.person_is_authorised, identity_is_assured, application_is_approved
R07  deny   article_61.recipients_are_parties
R08  deny   article_68.permit_covers_the_scope; article_66.scope_is_within
     filter article_66.columns_are_projected
     route  people.use_is_necessary: a person decides, because proportionality is weighed
R09  deny   article_66.format_is_permitted, schema_has_no_identifiers, key_is_elsewhere
R10  filter article_71.opt_outs_are_filtered, with `excluded`
R11  deny   article_71.override_is_lawful
     route  people.public_interest_is_important: a person decides, because it is weighed
R12  deny   article_51.category_applies, national_rules_are_met
R13  deny   article_52.protected_columns_have_measures
     route  people.secrets_are_safe: a person decides, because a serious risk is weighed
R14  deny   article_68.code_is_approved; permit_covers_the_scope for tasks
R15  deny   article_69.answer_is_statistical_at_admission, answer_is_statistical_at_egress
R16  hold   article_73.output_kind_is_allowed, output_checks_passed, cells_are_large_enough,
            no_person_dominates, outputs_cannot_be_subtracted, output_is_reviewed
R17  deny   privacy_budget.permit_budget_holds, dataset_budget_holds, cost_is_reserved
R18  deny   article_68.enough_hospitals_take_part; secure_aggregation.enough_nodes_are_summed,
            update_is_clipped, update_has_the_agreed_form, cohort_is_large_enough
R19  deny   article_61.linked_data_are_in_the_permit
     alert  article_61.queries_do_not_single_out
R20  deny   article_87.locations_are_permitted, recipient_countries_are_permitted,
            small_populations_stay
R21  deny   article_63.permit_is_not_revoked, revocations_are_known, jobs_have_stopped
R22  oblige article_68.data_are_deleted, only_the_formula_is_kept
R23  oblige article_73.access_is_logged, access_logs_are_kept, activity_logs_are_kept;
            ai_act.ai_logs_are_kept
R24  oblige article_61.results_are_published, publication_acknowledges,
            publication_has_a_lay_summary
     hold   article_61.publication_is_anonymous
R25  oblige article_61.significant_findings_are_notified
     deny   article_61.wish_not_to_know_is_honoured
     route  people.finding_is_significant: a person decides, because it is a clinician's
R26  oblige article_57.decision_is_published, results_are_registered, measures_are_registered
R27  alert  article_60.holder_provides_in_time, metadata_is_checked_yearly;
            article_68.application_is_decided_in_time, application_is_completed_in_time,
            data_are_provided_in_time; article_72.trusted_holder_assesses_in_time,
            body_decides_on_proposal_in_time
R28  deny   article_77.record_is_valid
R29  deny   article_78.label_is_there, label_values_have_evidence, label_is_not_revoked
R30  hold   documentation.documentation_is_complete, documentation_is_anonymous
R31  deny   ai_act.diet_is_balanced_at_admission, diet_is_balanced_at_egress
R32  deny   article_62.fee_is_accepted_at_issuance, fee_is_accepted_at_admission
R33  deny   article_55.duties_are_segregated_at_issuance, duties_are_segregated_at_egress
R34  deny   ai_act.generated_media_are_marked
     alert  ai_act.generated_tables_are_marked
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial, update_wrapper
from typing import Any

from policies.decision import Constraint
from policies.request import Facts, UsageRequest
from policies.statute import (
    ai_act,
    article_51,
    article_52,
    article_53,
    article_54,
    article_55,
    article_57,
    article_60,
    article_61,
    article_62,
    article_63,
    article_66,
    article_67,
    article_68,
    article_69,
    article_71,
    article_72,
    article_73,
    article_77,
    article_78,
    article_87,
    documentation,
    people,
    privacy_budget,
    secure_aggregation,
)
from policies.statute.finding import Finding, Kind
from policies.statute.moments import (
    Admission,
    Egress,
    Issuance,
    Moment,
    Publication,
    Supervision,
)

RULES = (
    article_53.purpose_is_allowed,
    article_54.use_is_not_prohibited,
    article_68.permit_is_in_force,
    article_63.permit_is_not_revoked,
    article_68.permit_covers_the_date,
    article_68.permit_covers_the_use,
    article_68.permit_covers_the_scope,
    article_68.enough_hospitals_take_part,
)

_NUMBERS = ("R03", "R05", "R01", "R21", "R02", "R03", "R08", "R18")


def _as_finding(
    number: str, rule: Callable[[UsageRequest, Facts], Constraint], admission: Admission
) -> Finding:
    return Finding.of(number, Kind.DENY, rule(admission.request, admission.facts))


def _of_the_engine() -> Iterator[Callable[[Admission], Finding]]:
    for number, rule in zip(_NUMBERS, RULES, strict=True):
        yield update_wrapper(partial(_as_finding, number, rule), rule)


# Each tuple holds functions of its own moment; one type for all of them would have to say `Any`.
RULES_BY_MOMENT: Mapping[type[Moment], tuple[Callable[[Any], Finding], ...]] = {
    Issuance: (
        article_53.purposes_are_listed,
        article_53.actor_may_pursue,
        article_54.declaration_is_complete,
        article_67.ethics_reference_is_there,
        article_51.category_applies,
        article_51.national_rules_are_met,
        article_66.format_is_permitted,
        article_68.permit_period_is_lawful,
        article_68.extension_is_lawful,
        article_71.override_is_lawful,
        article_62.fee_is_accepted_at_issuance,
        article_55.duties_are_segregated_at_issuance,
        people.use_is_necessary,
        people.applicant_is_qualified,
        people.use_is_not_detrimental,
        people.use_is_ethical,
        people.public_interest_is_important,
        people.secrets_are_safe,
    ),
    Admission: (
        *_of_the_engine(),
        article_68.permit_is_the_newest,
        article_63.revocations_are_known,
        article_53.actor_may_pursue,
        article_54.declaration_is_complete,
        article_54.output_use_is_not_prohibited,
        article_73.person_is_authorised,
        article_73.identity_is_assured,
        article_73.application_is_approved,
        article_61.recipients_are_parties,
        article_66.scope_is_within,
        article_66.columns_are_projected,
        article_66.format_is_permitted,
        article_66.schema_has_no_identifiers,
        article_66.key_is_elsewhere,
        article_71.opt_outs_are_filtered,
        article_71.override_is_lawful,
        article_51.category_applies,
        article_51.national_rules_are_met,
        article_52.protected_columns_have_measures,
        article_68.code_is_approved,
        article_69.answer_is_statistical_at_admission,
        privacy_budget.permit_budget_holds,
        privacy_budget.dataset_budget_holds,
        privacy_budget.cost_is_reserved,
        secure_aggregation.enough_nodes_are_summed,
        secure_aggregation.update_is_clipped,
        secure_aggregation.update_has_the_agreed_form,
        secure_aggregation.cohort_is_large_enough,
        article_61.linked_data_are_in_the_permit,
        article_61.queries_do_not_single_out,
        article_87.locations_are_permitted,
        article_87.recipient_countries_are_permitted,
        article_87.small_populations_stay,
        ai_act.diet_is_balanced_at_admission,
        article_62.fee_is_accepted_at_admission,
    ),
    Egress: (
        article_61.recipients_are_parties,
        article_69.answer_is_statistical_at_egress,
        article_73.output_kind_is_allowed,
        article_73.output_checks_passed,
        article_73.cells_are_large_enough,
        article_73.no_person_dominates,
        article_73.outputs_cannot_be_subtracted,
        article_73.output_is_reviewed,
        article_87.recipient_countries_are_permitted,
        article_87.small_populations_stay,
        documentation.documentation_is_complete,
        documentation.documentation_is_anonymous,
        ai_act.diet_is_balanced_at_egress,
        article_55.duties_are_segregated_at_egress,
        people.use_is_not_detrimental,
    ),
    Publication: (
        article_77.record_is_valid,
        article_78.label_is_there,
        article_78.label_values_have_evidence,
        article_78.label_is_not_revoked,
        article_61.publication_is_anonymous,
        article_61.publication_acknowledges,
        article_61.publication_has_a_lay_summary,
        ai_act.generated_media_are_marked,
        ai_act.generated_tables_are_marked,
    ),
    Supervision: (
        article_63.jobs_have_stopped,
        article_68.data_are_deleted,
        article_68.only_the_formula_is_kept,
        article_73.access_is_logged,
        article_73.access_logs_are_kept,
        article_73.activity_logs_are_kept,
        ai_act.ai_logs_are_kept,
        article_61.results_are_published,
        article_61.significant_findings_are_notified,
        article_61.wish_not_to_know_is_honoured,
        people.finding_is_significant,
        article_57.decision_is_published,
        article_57.results_are_registered,
        article_57.measures_are_registered,
        article_60.holder_provides_in_time,
        article_60.metadata_is_checked_yearly,
        article_68.application_is_decided_in_time,
        article_68.application_is_completed_in_time,
        article_68.data_are_provided_in_time,
        article_72.trusted_holder_assesses_in_time,
        article_72.body_decides_on_proposal_in_time,
    ),
}


def evaluate(moment: Moment) -> tuple[Finding, ...]:
    """All findings at a moment: those that hold and those that do not, in the registry's order."""
    return tuple(rule(moment) for rule in RULES_BY_MOMENT[type(moment)])
