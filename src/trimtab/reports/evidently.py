"""A drift result as the report JSON of Evidently 0.7, for what reads those: same keys, same statuses, same ids.

Evidently is not imported. Each column is a ``ValueDrift`` with its p-value (drift where it is *below* the threshold),
as Evidently writes its own p-value methods; read the status of the test rather than the number.
"""

from __future__ import annotations

import hashlib
from typing import Any

from trimtab.core.drift.result import DriftResult, FeatureDrift

DRIFT_SHARE = 0.5
"""Share of drifted columns from which Evidently calls the whole drifted."""
_METRICS = "evidently.metrics.column_statistics"


def evidently_report(result: DriftResult) -> dict[str, Any]:
    """``{"metrics": [...], "tests": [...]}`` as ``Snapshot.json()`` of Evidently 0.7 has it."""
    features = list(result.features.values())
    drifted = sum(each.alarm for each in features)
    share = drifted / max(len(features), 1)
    config = {"type": "evidently:metric_v2:DriftedColumnsCount", "drift_share": DRIFT_SHARE}
    identity = _fingerprint("DriftedColumnsCount", ())
    head = {
        "id": identity,
        "metric_name": f"DriftedColumnsCount(drift_share={DRIFT_SHARE})",
        "config": config,
        "value": {"count": float(drifted), "share": share},
    }
    tests = [_share_test(identity, config, share), *(_test(each) for each in features)]
    return {"metrics": [head, *(_metric(each) for each in features)], "tests": tests}


def _metric(each: FeatureDrift) -> dict[str, Any]:
    config = _config(each)
    name = f"ValueDrift(column={each.name},method={config['method']},threshold={config['threshold']})"
    return {"id": _identity(each), "metric_name": name, "config": config, "value": float(each.p)}


def _config(each: FeatureDrift) -> dict[str, Any]:
    return {
        "type": "evidently:metric_v2:ValueDrift",
        "column": each.name,
        "method": f"Trimtab {each.method} p_value",
        "threshold": float(each.threshold),
    }


def _test(each: FeatureDrift) -> dict[str, Any]:
    config = _config(each)
    return {
        "id": "drift",
        "name": f"Value Drift for column {each.name}",
        "description": f"Drift score is {each.p:.2f}. The drift detection method is {config['method']}. "
        f"The drift threshold is {each.threshold:.2f}.",
        "metric_config": {"metric_id": _identity(each), "params": config},
        "test_config": {},
        "status": "FAIL" if each.alarm else "SUCCESS",
        "bound_test": {
            "type": "evidently:bound_test:ValueDriftBoundTest",
            "test": {
                "type": "evidently:test_v2:ValueDriftTest",
                "is_critical": True,
                "alias": None,
                "label_filters": None,
            },
            "metric_fingerprint": _identity(each),
        },
    }


def _share_test(identity: str, config: dict[str, Any], share: float) -> dict[str, Any]:
    less = share < DRIFT_SHARE
    test = {
        "type": "evidently:test_v2:LessThanMetricTest",
        "is_critical": True,
        "alias": None,
        "label_filters": None,
        "threshold": DRIFT_SHARE,
    }
    return {
        "id": "lt",
        "name": f"Share of Drifted Columns: Less {DRIFT_SHARE:.3f}",
        "description": f"Share of Drifted Columns: Actual value {share:.3f} {'<' if less else '>='} {DRIFT_SHARE:.3f}",
        "metric_config": {"metric_id": identity, "params": config},
        "test_config": test,
        "status": "SUCCESS" if less else "FAIL",
        "bound_test": {
            "type": "evidently:bound_test:CountBoundTest",
            "test": test,
            "metric_fingerprint": identity,
            "is_count": False,
        },
    }


def _identity(each: FeatureDrift) -> str:
    """The id that Evidently gives to the drift of this column with its defaults, so that rows of both line up."""
    return _fingerprint("ValueDrift", (("column", each.name),))


def _fingerprint(name: str, parts: tuple[tuple[str, str], ...]) -> str:
    return hashlib.md5(f"{_METRICS}.{name}{parts}".encode(), usedforsecurity=False).hexdigest()
