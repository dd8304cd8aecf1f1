"""The production core and loop in a fake world, under a seed: ``campaign`` for many stories, ``tell`` for one."""

from __future__ import annotations

from trimtab.replay.simulation.run import Campaign, Finding, campaign, tell

__all__ = ["Campaign", "Finding", "campaign", "tell"]
