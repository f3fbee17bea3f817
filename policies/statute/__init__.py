"""The law as code: one small function per rule, in the module of its article.

Rule numbers (R01 to R34) are those of the project's reading of Regulation (EU) 2025/327.
"""

from policies.statute import article_53, article_54, article_68

RULES = (
    article_53.purpose_is_allowed,
    article_54.use_is_not_prohibited,
    article_68.permit_is_in_force,
    article_68.permit_covers_the_date,
    article_68.permit_covers_the_use,
    article_68.permit_covers_the_scope,
    article_68.enough_hospitals_take_part,
)
