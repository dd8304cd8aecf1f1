"""Experiment tracking and the model registry in MLflow. MLflow itself is imported at the first call, not before."""

from trimtab.adapters.mlflow.registry import MlflowRegistry

__all__ = ["MlflowRegistry"]
