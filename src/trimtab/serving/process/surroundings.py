"""What the environment tells a server: our own variables, and those of the platforms that run containers.

Vertex AI: ``AIP_HTTP_PORT``, ``AIP_HEALTH_ROUTE``, ``AIP_PREDICT_ROUTE``, ``AIP_STORAGE_URI``
(https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements).
SageMaker: the argument ``serve``, ``SAGEMAKER_BIND_TO_PORT``, the model in ``/opt/ml/model``
(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html).

The environment is an argument: the entry points read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trimtab.core.domain.errors import UserError
from trimtab.serving import paths
from trimtab.serving.net.security import Security

SAGEMAKER_MODEL = Path("/opt/ml/model")
EVERYWHERE = "0.0.0.0"  # noqa: S104  a container's port is reached from outside it
KEPT = {"ping", "ready", "live"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a server is told where its command line says nothing; None: nothing."""

    deployment: Path | None = None
    logs: Path | None = None
    host: str | None = None
    port: int | None = None
    workers: int | None = None
    routes: tuple[tuple[str, str], ...] = ()


def surroundings(variables: Mapping[str, str], sagemaker: bool = False) -> Surroundings:
    """The environment's settings; our own variables count before those of a platform.

    Args:
        sagemaker: the command line says ``serve`` and nothing of a deployment, as SageMaker starts a container.

    Raises:
        UserError: a variable has a value that cannot be meant; it is named.
    """
    vertex = any(name in variables for name in ("AIP_HTTP_PORT", "AIP_PREDICT_ROUTE", "AIP_HEALTH_ROUTE"))
    sagemaker = sagemaker or "SAGEMAKER_BIND_TO_PORT" in variables
    deployment, logs = variables.get("TRIMTAB_DEPLOYMENT"), variables.get("TRIMTAB_LOGS")
    return Surroundings(
        deployment=Path(deployment) if deployment else _deployment(variables, vertex, sagemaker),
        logs=Path(logs) if logs else None,
        host=variables.get("TRIMTAB_HOST") or (EVERYWHERE if vertex or sagemaker else None),
        port=_first_number(variables, "TRIMTAB_PORT", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT"),
        workers=_first_number(variables, "TRIMTAB_WORKERS"),
        routes=_routes(variables),
    )


def security_of(
    variables: Mapping[str, str],
    predict_tokens: Path | None = None,
    label_tokens: Path | None = None,
    closed: str | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    opened: str | None = None,
) -> Security:
    """Tokens and TLS, from the command line and the environment; a file that is named on both is the command line's.

    Raises:
        UserError: they do not go together, or a file cannot be used.
    """
    names = closed if closed is not None else variables.get("TRIMTAB_CLOSED", "")
    free = opened if opened is not None else variables.get("TRIMTAB_OPEN", "")
    security = Security(
        predict_tokens=predict_tokens or _path(variables, "TRIMTAB_PREDICT_TOKENS_FILE"),
        label_tokens=label_tokens or _path(variables, "TRIMTAB_LABEL_TOKENS_FILE"),
        predict_values=_words(variables.get("TRIMTAB_PREDICT_TOKENS", "")),
        label_values=_words(variables.get("TRIMTAB_LABEL_TOKENS", "")),
        closed=_words(names),
        opened=_words(free),
        tls_cert=tls_cert or _path(variables, "TRIMTAB_TLS_CERT"),
        tls_key=tls_key or _path(variables, "TRIMTAB_TLS_KEY"),
    )
    _prove(security)
    return security


def _prove(security: Security) -> None:
    """Read the files once, before any worker is started."""
    if security.guarded:
        from trimtab.serving.net.auth import Tokens

        Tokens(security)
    if security.tls_cert is not None:
        from trimtab.serving.net.tls import Certificates

        Certificates(security.tls_cert, security.tls_key)


def traces_wanted(variables: Mapping[str, str]) -> bool:
    """Whether the environment configures an exporter of traces.

    Raises:
        UserError: it does, and the exporter is not installed.

    >>> traces_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    True
    >>> traces_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"})
    False
    """
    exporter = variables.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "none" or variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not exporter and not any(variables.get(name) for name in endpoints):
        return False
    from trimtab.serving.net.tracing import exporters

    exporters(variables)
    return True


def _path(variables: Mapping[str, str], name: str) -> Path | None:
    return Path(variables[name]) if variables.get(name) else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def _first_number(variables: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        text = variables.get(name, "").strip()
        if text:
            if not text.isascii() or not text.isdigit():
                raise UserError(f"{name} must be a whole number, found '{text}'")
            return int(text)
    return None


def _deployment(variables: Mapping[str, str], vertex: bool, sagemaker: bool) -> Path | None:
    uri = variables.get("AIP_STORAGE_URI", "")
    if vertex and uri:
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        return None if parts.scheme else Path(uri)
    return SAGEMAKER_MODEL if sagemaker else None


def missing_deployment(variables: Mapping[str, str]) -> str:
    """What to tell where nothing names a deployment directory."""
    uri = variables.get("AIP_STORAGE_URI", "")
    if "://" in uri:
        return (
            f"AIP_STORAGE_URI is {uri}, and this server reads directories: mount it or copy it into the image, and "
            "name it in TRIMTAB_DEPLOYMENT or --deployment"
        )
    return "name the deployment directory: --deployment, or TRIMTAB_DEPLOYMENT"


def _routes(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    routes = []
    for name, endpoint in (("AIP_HEALTH_ROUTE", "ping"), ("AIP_PREDICT_ROUTE", "vertex")):
        path = variables.get(name, "").strip()
        if not path:
            continue
        if not path.startswith("/") or "?" in path or "#" in path:
            raise UserError(f"{name} must be a path that begins with /, found '{path}'")
        known = paths.find(path.encode())
        if known is None or known.endpoint not in KEPT or endpoint != "ping":
            routes.append((path, endpoint))
    return tuple(routes)
