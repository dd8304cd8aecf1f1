"""``MlflowRegistry``: every run and version as MLflow records them, so that its UI and API show them as its own."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from trimtab.adapters.atomic import settle
from trimtab.adapters.mlflow import edge, records
from trimtab.adapters.mlflow.model import PACKAGE, write_model
from trimtab.core.domain.errors import ExternalError, InvariantError, NotFoundError
from trimtab.core.domain.gate import VersionRecord
from trimtab.ports import RunLine, RunLog
from trimtab.serving import package as packages

_JOB = re.compile(r"[\w.\-]+")
_PAGE = 200


class MlflowRegistry:
    """The ``Registry`` port over an MLflow tracking store and registry (SQLite without a server, or a server).

    Creating the version, in one transaction with its tags, is the last step of ``register``: a version that is seen is
    complete. What a killed call left before that step (a run, a logged model) is deleted by the next call for the job,
    as MLflow deletes: it can be restored there.
    """

    def __init__(self, tracking_uri: str, artifact_root: str | Path | None, experiment: str, model: str) -> None:
        """Nothing is opened yet, and MLflow is not imported.

        Args:
            tracking_uri: ``sqlite:////abs/mlflow.db`` or ``http(s)://server``.
            artifact_root: where a new experiment keeps its artifacts: a directory (not with a server) or a URI; None
                leaves it to the store.
            experiment: name of the experiment; made where there is none.
            model: name of the registered model; made with the first version.
        """
        self._uri = tracking_uri
        self._artifact_root = artifact_root
        self._experiment = experiment
        self._model = model
        self._opened: Any = None
        self._experiment_id: str | None = None

    def register(self, run: RunLog) -> VersionRecord:
        """Log the run, store its package, create the version. Idempotent by the tag ``job``.

        Raises:
            IntegrityError: the package does not fit its MANIFEST.
            InvariantError: the run cannot be recorded exactly, e.g. a metric is not finite.
            ExternalError: MLflow or the disk failed; call again.
        """
        job = run.job
        if not _JOB.fullmatch(job):
            raise InvariantError(f"'{job}' cannot name a job: letters, digits, '.', '_' and '-'")
        with edge.translated(f"register the run of job '{job}'"):
            known = self._known(job)
            if known is not None:
                return known
            self._discard_leftovers(job)
            if run.package is None:
                return self._known_failure(job) or self._log_failed(run)
            digest = packages.verify(run.package)
            draft = run.version_record(0, "", digest)
            records.encode(draft)  # what cannot be recorded is refused before anything is written
            return self._log_version(run, run.package, draft)

    def versions(self) -> list[VersionRecord]:
        """All versions that Trimtab made, oldest first; those that others registered are not ours."""
        with edge.translated(f"list the versions of '{self._model}'"):
            found = [records.from_version(version) for version in self._search(f"name = '{self._model}'")]
        return sorted((record for record in found if record is not None), key=lambda record: record.version)

    def get(self, version: int) -> VersionRecord:
        """The record of a version.

        Raises:
            NotFoundError: there is none; the text names the versions there are.
        """
        return records.from_version(self._version(version)) or self._no(version)

    def aliases(self) -> dict[str, int]:
        """Alias to version."""
        with edge.translated(f"read the aliases of '{self._model}'"):
            model = self._registered()
            return {} if model is None else {str(alias): int(version) for alias, version in model.aliases.items()}

    def set_alias(self, alias: str, version: int | None) -> None:
        """Point the alias at a version; None removes it. Idempotent.

        Raises:
            NotFoundError: there is no such version.
        """
        if version is None:
            with edge.translated(f"remove the alias '{alias}'"):
                if self._registered() is not None:
                    self._client.delete_registered_model_alias(self._model, alias)
            return
        self._version(version)
        with edge.translated(f"set the alias '{alias}'"):
            self._client.set_registered_model_alias(self._model, alias, str(version))

    def fetch(self, version: int, to: Path) -> Path:
        """Copy the version's package to the directory ``to``: made aside, verified by its MANIFEST, renamed.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: what is stored, or already stands at ``to``, is not what was registered.
        """
        record, source = self.get(version), self._version(version).source
        if to.exists():
            packages.verify(to, record.manifest)
            return to
        with edge.translated(f"fetch version {version} to {to}"):
            from mlflow.artifacts import download_artifacts

            to.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
            try:
                uri = f"{source.rstrip('/')}/{PACKAGE}"
                copy = Path(download_artifacts(artifact_uri=uri, dst_path=str(aside), tracking_uri=self._uri))
                packages.verify(copy, record.manifest)
                settle(copy, to)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        return to

    def runs(self) -> list[RunLine]:
        """All runs of the experiment that Trimtab made, oldest first; failed ones too."""
        with edge.translated(f"list the runs of '{self._experiment}'"):
            keys = [self._experiment_key]
            found = _pages(
                lambda token: self._client.search_runs(keys, "tags.job != ''", max_results=_PAGE, page_token=token)
            )
            versions = {str(each.run_id): each for each in self._search(f"name = '{self._model}'")}
        lines = [records.run_line(run, versions.get(run.info.run_id)) for run in found]
        return sorted((line for line in lines if line is not None), key=lambda line: (line.at, line.version or 0))

    def files(self, run_id: str, to: Path, folder: str = "") -> Path:
        """Copy the run's artifacts, or one folder of them, to the directory ``to``.

        Raises:
            NotFoundError: there is no such run, or it kept no such files.
        """
        with edge.translated(f"fetch the files of run {run_id}"):
            from mlflow.artifacts import download_artifacts
            from mlflow.exceptions import MlflowException

            to.mkdir(parents=True, exist_ok=True)
            try:
                copy = download_artifacts(
                    run_id=run_id, artifact_path=folder or None, dst_path=str(to), tracking_uri=self._uri
                )
            except MlflowException as error:
                if edge.error_code(error) != edge.NOT_FOUND:
                    raise
                raise NotFoundError(f"MLflow has no run {run_id}, or its files are gone: {error}") from error
        return Path(copy)

    # -- runs and versions -------------------------------------------------------------------------------------------

    def _known(self, job: str) -> VersionRecord | None:
        """What an earlier call made of this job, when it came to its end."""
        found = self._search(f"name = '{self._model}' AND tags.job = '{job}'")
        if found:
            first = min(found, key=lambda version: int(version.version))
            self._link(first.tags[records.MODEL], int(first.version))
            return records.from_version(first)
        return None

    def _known_failure(self, job: str) -> VersionRecord | None:
        """The record of a run of this job that failed before there was a model."""
        for run in self._runs(job):
            if records.RECORD in run.data.tags:
                return records.decode(run.data.tags[records.RECORD], 0, run.info.run_id)
        return None

    def _discard_leftovers(self, job: str) -> None:
        for run in self._runs(job):
            run_id = run.info.run_id
            if records.RECORD in run.data.tags:  # it failed and was recorded as that: the next try stands beside it
                continue
            models = self._client.search_logged_models([self._experiment_key], f"source_run_id = '{run_id}'")
            for model in models:
                self._client.delete_logged_model(model.model_id)
            self._client.delete_run(run_id)

    def _log_failed(self, run: RunLog) -> VersionRecord:
        """A run that ended before there was a model: logged, with its record as the mark that it is complete."""
        record = run.version_record(0, "", "")
        run_id = self._start(run)
        records.log_run(self._client, run_id, run, None)
        self._client.set_terminated(run_id, "FAILED", records.end_ms(run))
        self._client.set_tag(run_id, records.RECORD, records.encode(record))
        return records.with_ids(record, 0, run_id)

    def _log_version(self, run: RunLog, package: Path, draft: VersionRecord) -> VersionRecord:
        client, signature = self._client, packages.read_signature(package)
        run_id = self._start(run)
        model = client.create_logged_model(
            self._experiment_key,
            name=self._model,
            source_run_id=run_id,
            tags={"job": run.job, "manifest": draft.manifest, "verdict": str(run.verdict)},
            params=records.texts(run.parameters),
            model_type=signature.task,
        )
        records.log_run(client, run_id, run, model.model_id)
        with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
            home = write_model(Path(folder) / "model", package, signature, draft, run_id, model.model_id)
            client.log_model_artifacts(model.model_id, str(home))
        client.finalize_logged_model(model.model_id, "READY")
        records.log_output(client, run_id, model.model_id)
        client.set_terminated(run_id, "FINISHED", records.end_ms(run))
        self._ensure_registered()
        created = client.create_model_version(
            self._model,
            source=model.artifact_location,
            run_id=run_id,
            tags=records.version_tags(run, draft, model.model_id),
            description=records.description(run),
            await_creation_for=0,
            model_id=model.model_id,
        )
        self._link(model.model_id, int(created.version))
        return records.with_ids(draft, int(created.version), run_id)

    def _link(self, model_id: str, version: int) -> None:
        """Let MLflow's page of the logged model name the version made of it."""
        link = json.dumps([{"name": self._model, "version": version}])
        self._client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})

    def _start(self, run: RunLog) -> str:
        created = self._client.create_run(
            self._experiment_key,
            start_time=records.start_ms(run),
            tags=records.run_tags(run),
            run_name=run.name,
        )
        return str(created.info.run_id)

    # -- looking things up -------------------------------------------------------------------------------------------

    @property
    def _client(self) -> Any:
        if self._opened is None:
            self._opened = edge.open_client(self._uri)
        return self._opened

    @property
    def _experiment_key(self) -> str:
        if self._experiment_id is None:
            self._experiment_id = self._find_experiment() or self._make_experiment()
        return self._experiment_id

    def _find_experiment(self) -> str | None:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            return None
        if found.lifecycle_stage != "active":
            raise ExternalError(
                f"the MLflow experiment '{self._experiment}' was deleted; "
                f"restore it: mlflow experiments restore -x {found.experiment_id}"
            )
        return str(found.experiment_id)

    def _make_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        root = self._artifact_root
        if isinstance(root, Path) and self._uri.startswith(("http://", "https://")):
            root = None  # a server keeps artifacts where it can serve them, not on the disk of whoever asks
        if isinstance(root, Path):
            root.mkdir(parents=True, exist_ok=True)
            root = root.absolute().as_uri()
        try:
            return str(self._client.create_experiment(self._experiment, artifact_location=root))
        except MlflowException as error:
            if edge.error_code(error) != edge.EXISTS:
                raise
        return self._find_experiment() or ""

    def _registered(self) -> Any:
        """The registered model, or None before the first version."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(self._model)
        except MlflowException as error:
            if edge.error_code(error) != edge.NOT_FOUND:
                raise
        return None

    def _ensure_registered(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._model, description="Trained, checked and rolled out by Trimtab.")
        except MlflowException as error:
            if edge.error_code(error) != edge.EXISTS:
                raise

    def _version(self, version: int) -> Any:
        from mlflow.exceptions import MlflowException

        with edge.translated(f"read version {version} of '{self._model}'"):
            try:
                return self._client.get_model_version(self._model, str(version))
            except MlflowException as error:
                if edge.error_code(error) != edge.NOT_FOUND:
                    raise
        return self._no(version)

    def _no(self, version: int) -> Any:
        there = ", ".join(str(record.version) for record in self.versions()) or "none yet"
        raise NotFoundError(f"model '{self._model}' has no version {version}; there are: {there}")

    def _search(self, query: str) -> list[Any]:
        return _pages(lambda token: self._client.search_model_versions(query, max_results=_PAGE, page_token=token))

    def _runs(self, job: str) -> list[Any]:
        query = f"tags.job = '{job}'"
        keys = [self._experiment_key]
        return _pages(lambda token: self._client.search_runs(keys, query, max_results=_PAGE, page_token=token))


def _pages(search: Any) -> list[Any]:
    """All results of a paged search."""
    found: list[Any] = []
    token = None
    while True:
        page = search(token)
        found.extend(page)
        token = page.token
        if not token:
            return found
