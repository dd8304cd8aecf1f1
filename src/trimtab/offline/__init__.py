"""The diagnosis of two tables outside of a project."""

from trimtab.offline.diagnose import Look, diagnose_tables, look_at
from trimtab.offline.models import load_model
from trimtab.offline.tables import Delay, Live, OfflineModel, blocks_of

__all__ = ["Delay", "Live", "Look", "OfflineModel", "blocks_of", "diagnose_tables", "load_model", "look_at"]
