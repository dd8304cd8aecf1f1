"""The diagnosis by rows: columns, answers and outcomes together, where the rows themselves are at hand."""

from trimtab.core.diagnosis.rows.case import Case, Cells, Learner, cells_of
from trimtab.core.diagnosis.rows.engine import diagnose

__all__ = ["Case", "Cells", "Learner", "cells_of", "diagnose"]
