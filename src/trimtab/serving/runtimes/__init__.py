"""Model runtimes: one interface, ``load``, and four ways to execute a package.

``trees`` (Trimtab's own loop over trees in float64), ``onnx`` (ONNX Runtime over a float64 matrix), ``treelite`` (float64 trees) and ``native`` (the scikit-learn object).
Each is imported when a package asks for it, so that a compiled model brings neither scikit-learn nor pandas.
"""

from __future__ import annotations

from trimtab.serving.runtimes.base import Columns, Model, Outputs, Row, Value
from trimtab.serving.runtimes.loading import load

__all__ = ["Columns", "Model", "Outputs", "Row", "Value", "load"]
