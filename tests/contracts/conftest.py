"""Fixtures of this room."""

from tests.adapters.stores import mlflow_template, mlflow_uri
from tests.postgresql import postgresql, postgresql_server

__all__ = ["mlflow_template", "mlflow_uri", "postgresql", "postgresql_server"]
