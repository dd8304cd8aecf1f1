"""Profile, Scorecard, Baseline: what is added up."""

from trimtab.core.profiles.baseline import Baseline, Evaluation, prediction_columns
from trimtab.core.profiles.columns import Categorical, Column, Columns, Numbers, categorical, rows_of, take_rows
from trimtab.core.profiles.profile import Profile
from trimtab.core.profiles.scorecard import Scorecard, empty_scorecard, row_losses, score_rows

__all__ = [
    "Baseline",
    "Categorical",
    "Column",
    "Columns",
    "Evaluation",
    "Numbers",
    "Profile",
    "Scorecard",
    "categorical",
    "empty_scorecard",
    "prediction_columns",
    "row_losses",
    "rows_of",
    "score_rows",
    "take_rows",
]
