"""Ways to break a table: what the drill does to the user's data, and the incident benchmark to its hosts."""

from trimtab.replay.incidents.catalogue import RECIPES, Recipe
from trimtab.replay.incidents.stage import LEVELS, NotHereError, Stage

__all__ = ["LEVELS", "RECIPES", "NotHereError", "Recipe", "Stage"]
