"""Model runtimes: one interface, ``load``, and five ways to execute a package.

``trees`` (Trimtab's own walk, float64), ``onnx`` (ONNX Runtime over a float64 matrix), ``treelite`` (float64 trees),
``native`` (the scikit-learn object) and ``blend`` (the mean of several packages). ``calibrated`` goes around
any of them.
Each is imported when a package asks for it, so that a compiled model brings neither scikit-learn nor pandas.
"""

from __future__ import annotations

from trimtab.serving.runtimes.base import Columns, Model, Outputs, Row, Value
from trimtab.serving.runtimes.loading import load

__all__ = ["Columns", "Model", "Outputs", "Row", "Value", "load"]
