"""Fixtures of this room."""

from tests.adapters.stores import mlflow_template, mlflow_uri

__all__ = ["mlflow_template", "mlflow_uri"]
