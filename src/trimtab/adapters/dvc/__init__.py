"""Data versions in DVC's own formats: the real ``dvc`` reads, restores, pushes and pulls them."""

from trimtab.adapters.dvc.store import DvcStore

__all__ = ["DvcStore"]
