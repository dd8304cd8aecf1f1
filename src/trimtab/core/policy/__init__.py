"""When a training run pays, on which data, and which of the retained versions should answer."""

from trimtab.core.policy.advise import Advice, advise
from trimtab.core.policy.blend import blend_weights
from trimtab.core.policy.facts import FIRST, FULL, WINDOW, Facts, Trained
from trimtab.core.policy.payoff import PayoffSettings, Standing, standing
from trimtab.core.policy.roles import ROLES, SINGLE, Role, members

__all__ = [
    "FIRST",
    "FULL",
    "ROLES",
    "SINGLE",
    "WINDOW",
    "Advice",
    "Facts",
    "PayoffSettings",
    "Role",
    "Standing",
    "Trained",
    "advise",
    "blend_weights",
    "members",
    "standing",
]
