"""MLflow's answers to searches: seeds its SQLite stores, then asks them.

Usage: python tests/mlflow/search.py FOLDER, which holds data.json and queries.json; writes
answers.json. The stores of `mlflow server` are asked within this process, and rows are not loaded
further than their ids: over REST ten thousand searches would take ten minutes, nearly all of them
spent on messages. Pages of MLflow are slices by offset, so each search is asked once, for three pages
and one row more.
"""

import gc
import json
import multiprocessing
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path(sys.argv[1])
URI = f"sqlite:///{FOLDER / 'mlflow.db'}"
ROOT = str(FOLDER / "artifacts")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
warnings.filterwarnings("ignore")

import sqlalchemy.orm  # noqa: E402
from mlflow.entities import ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.model_registry.dbmodels import models as registry  # noqa: E402
from mlflow.store.model_registry.sqlalchemy_store import (  # noqa: E402
    SqlAlchemyStore as RegistryStore,
)
from mlflow.store.tracking import sqlalchemy_store  # noqa: E402
from mlflow.store.tracking.dbmodels import models as tracking  # noqa: E402
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: E402

STATUSES = {"PENDING": 1, "READY": 2, "UPLOAD_FAILED": 3}
MOST_PAGES = 3


def pairs(owner, rows, more=()):
    """One row per key of the maps that rows carry under 'tags' or 'params'."""
    return [
        {**owner(row), more[0] if more else "key": key, more[1] if more else "value": value}
        for row, values in rows
        for key, value in values.items()
    ]


def measured(metric):
    """MLflow keeps NaN as a flag beside 0."""
    is_nan = metric["value"] == "NaN"
    return {"value": 0 if is_nan else metric["value"], "is_nan": is_nan}


def stage(row):
    return "deleted" if row["deleted"] else "active"


def seed_tracking(insert, data):
    insert(
        tracking.SqlExperiment,
        [
            {
                "experiment_id": e["id"],
                "name": e["name"],
                "artifact_location": f"{ROOT}/{e['id']}",
                "lifecycle_stage": stage(e),
                "creation_time": e["created"],
                "last_update_time": e["updated"],
            }
            for e in data["experiments"]
        ],
    )
    insert(
        tracking.SqlExperimentTag,
        pairs(lambda e: {"experiment_id": e["id"]}, [(e, e["tags"]) for e in data["experiments"]]),
    )
    runs = data["runs"]
    insert(
        tracking.SqlRun,
        [
            {
                "run_uuid": r["id"],
                "name": r["name"],
                "user_id": r["user"],
                "status": r["status"],
                "start_time": r["start"],
                "end_time": r["end"],
                "lifecycle_stage": stage(r),
                "artifact_uri": r["artifact_uri"],
                "experiment_id": r["experiment"],
            }
            for r in runs
        ],
    )
    insert(tracking.SqlTag, pairs(lambda r: {"run_uuid": r["id"]}, [(r, r["tags"]) for r in runs]))
    insert(
        tracking.SqlParam, pairs(lambda r: {"run_uuid": r["id"]}, [(r, r["params"]) for r in runs])
    )
    insert(
        tracking.SqlLatestMetric,
        [
            {"run_uuid": r["id"], "key": m["key"], "timestamp": 1, "step": 0, **measured(m)}
            for r in runs
            for m in r["metrics"]
        ],
    )
    insert(
        tracking.SqlDataset,
        [
            {
                "dataset_uuid": d["id"],
                "experiment_id": d["experiment"],
                "name": d["name"],
                "digest": d["digest"],
                "dataset_source_type": "local",
                "dataset_source": "x",
            }
            for d in data["datasets"]
        ],
    )
    inputs = [(r, d, f"{at}-{n}") for at, r in enumerate(runs) for n, d in enumerate(r["datasets"])]
    insert(
        tracking.SqlInput,
        [
            {
                "input_uuid": name,
                "source_type": "DATASET",
                "source_id": d["id"],
                "destination_type": "RUN",
                "destination_id": r["id"],
            }
            for r, d, name in inputs
        ],
    )
    insert(
        tracking.SqlInputTag,
        [
            {"input_uuid": name, "name": "mlflow.data.context", "value": d["context"]}
            for _, d, name in inputs
            if d["context"] is not None
        ],
    )


def seed_logged_models(insert, data):
    found = data["loggedModels"]
    insert(
        tracking.SqlLoggedModel,
        [
            {
                "model_id": m["id"],
                "experiment_id": m["experiment"],
                "name": m["name"],
                "artifact_location": "x",
                "creation_timestamp_ms": m["created"],
                "last_updated_timestamp_ms": m["updated"],
                "status": STATUSES[m["status"]],
                "lifecycle_stage": stage(m),
                "model_type": m["type"],
                "source_run_id": m["run"],
            }
            for m in found
        ],
    )
    owner = lambda m: {"model_id": m["id"], "experiment_id": m["experiment"]}  # noqa: E731
    tags = [(m, m["tags"]) for m in found]
    insert(tracking.SqlLoggedModelTag, pairs(owner, tags, ("tag_key", "tag_value")))
    params = [(m, m["params"]) for m in found]
    insert(tracking.SqlLoggedModelParam, pairs(owner, params, ("param_key", "param_value")))
    insert(
        tracking.SqlLoggedModelMetric,
        [
            {
                **owner(m),
                "metric_name": v["key"],
                "metric_value": None if v["value"] == "NaN" else v["value"],
                "metric_timestamp_ms": v["timestamp"],
                "metric_step": v["step"],
                "run_id": v["run"],
                "dataset_name": v["dataset"],
                "dataset_digest": v["digest"],
            }
            for m in found
            for v in m["metrics"]
        ],
    )


def seed_registry(insert, data):
    insert(
        registry.SqlRegisteredModel,
        [
            {"name": m["name"], "creation_time": m["created"], "last_updated_time": m["updated"]}
            for m in data["models"]
        ],
    )
    insert(
        registry.SqlRegisteredModelTag,
        pairs(lambda m: {"name": m["name"]}, [(m, m["tags"]) for m in data["models"]]),
    )
    insert(
        registry.SqlModelVersion,
        [
            {
                "name": v["name"],
                "version": v["version"],
                "creation_time": v["created"],
                "last_updated_time": v["updated"],
                "current_stage": "Deleted_Internal" if v["deleted"] else v["stage"],
                "source": v["source"],
                # What MLflow's server writes for a version without a run.
                "run_id": v["run"] or "",
            }
            for v in data["versions"]
        ],
    )
    insert(
        registry.SqlModelVersionTag,
        pairs(
            lambda v: {"name": v["name"], "version": v["version"]},
            [(v, v["tags"]) for v in data["versions"]],
        ),
    )


def seed(data):
    engine = SqlAlchemyStore(URI, ROOT).engine
    with engine.begin() as connection:
        connection.execute(tracking.SqlExperiment.__table__.delete())

        def insert(model, rows):
            if rows:
                connection.execute(model.__table__.insert(), rows)

        seed_tracking(insert, data)
        seed_logged_models(insert, data)
        seed_registry(insert, data)
    engine.dispose()


def load_ids_only():
    """Makes rows of the stores their ids, without the queries for all that belongs to them."""
    sqlalchemy_store.selectinload = sqlalchemy.orm.lazyload
    for store in (SqlAlchemyStore, RegistryStore):
        for name in dir(store):
            if name.startswith("_get_eager_"):
                setattr(store, name, staticmethod(lambda *_: ()))
    SqlAlchemyStore._to_experiment = lambda _, row, *__: str(row.experiment_id)
    SqlAlchemyStore._get_run_inputs = lambda _, run_uuids, **__: [[] for _ in run_uuids]
    SqlAlchemyStore._get_model_outputs_bulk = lambda _, run_ids, **__: dict.fromkeys(run_ids, [])
    RegistryStore._get_latest_versions_for_models = lambda *_: {}
    info = lambda row: SimpleNamespace(run_id=row.run_uuid)  # noqa: E731
    tracking.SqlRun.to_mlflow_entity = lambda row: SimpleNamespace(info=info(row), data=None)
    tracking.SqlLoggedModel.to_mlflow_entity = lambda row: row.model_id
    registry.SqlRegisteredModel.to_mlflow_entity = lambda row, **_: row.name
    registry.SqlModelVersion.to_mlflow_entity = lambda row: f"{row.name} {row.version}"


def search(stores, entity, body):
    tracked, registered = stores
    most = MOST_PAGES * body["max_results"] + 1
    text, order, view = body["filter"], body["order_by"], body.get("view", "ACTIVE_ONLY")
    if entity == "experiments":
        found = tracked.search_experiments(getattr(ViewType, view), most, text, order)
    elif entity == "runs":
        view_type = getattr(ViewType, view)
        runs = tracked.search_runs(body["experiment_ids"], text, view_type, most, order)
        found = [run.info.run_id for run in runs]
    elif entity == "logged-models":
        # As its handler fills them.
        order = [{"ascending": True, "dataset_name": None, "dataset_digest": None, **o} for o in order]
        found = tracked.search_logged_models(
            body["experiment_ids"], text or None, body.get("datasets"), most, order or None
        )
    elif entity == "models":
        found = registered.search_registered_models(text, most, order)
    else:
        found = registered.search_model_versions(text, most, order)
    return list(found)


def work(queries):
    load_ids_only()
    stores = SqlAlchemyStore(URI, ROOT), RegistryStore(URI)
    gc.disable()
    answers = []
    for query in queries:
        try:
            answers.append({"ids": search(stores, query["entity"], query["body"])})
        except MlflowException as error:
            answers.append({"error": f"{error.error_code}: {error.message}"[:300]})
        except Exception as error:  # The server answers these with 500.
            answers.append({"error": f"500: {error!r}"[:300]})
    return answers


if __name__ == "__main__":
    seed(json.loads((FOLDER / "data.json").read_text()))
    asked = json.loads((FOLDER / "queries.json").read_text())
    parts = [asked[0::2], asked[1::2]]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        even, odd = pool.map(work, parts)
    answers = [one for pair in zip(even, odd) for one in pair]
    (FOLDER / "answers.json").write_text(json.dumps(answers))
