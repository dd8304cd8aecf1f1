"""When a training run pays, on which data, and which of the retained versions should answer."""

from trimtab.core.policy.advise import Advice, advise
from trimtab.core.policy.blend import blend_weights
from trimtab.core.policy.facts import FIRST, FULL, WINDOW, Facts, Trained
from trimtab.core.policy.measured import BlockLosses, Measured, Retained, facts_of, filled
from trimtab.core.policy.payoff import PayoffSettings, Standing, standing
from trimtab.core.policy.roles import ROLES, SINGLE, Role, members

__all__ = [
    "FIRST",
    "FULL",
    "ROLES",
    "SINGLE",
    "WINDOW",
    "Advice",
    "BlockLosses",
    "Facts",
    "Measured",
    "PayoffSettings",
    "Retained",
    "Role",
    "Standing",
    "Trained",
    "advise",
    "blend_weights",
    "facts_of",
    "filled",
    "members",
    "standing",
]
