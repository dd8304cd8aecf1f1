"""Fire drills: the user's data, broken on purpose, played through the production core and loop in simulated time."""

from trimtab.replay.drill.drill import Drill, Wish, drill

__all__ = ["Drill", "Wish", "drill"]
