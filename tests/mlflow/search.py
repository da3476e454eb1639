"""MLflow's answers to searches: seeds its SQLite store, then asks the handlers of its server.

Usage: python tests/mlflow/search.py FOLDER, which holds data.json and queries.json; writes
answers.json. The requests go through the server's Flask application without sockets: routing, protobuf
messages, handlers and store are those of `mlflow server`, and ten thousand searches end in time.
"""

import json
import multiprocessing
import os
import sys
import warnings
from pathlib import Path

FOLDER = Path(sys.argv[1])
URI = f"sqlite:///{FOLDER / 'mlflow.db'}"
ROOT = str(FOLDER / "artifacts")
os.environ["_MLFLOW_SERVER_FILE_STORE"] = URI
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = ROOT
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Requests of a test client come from no known host.
os.environ["MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"] = "true"
warnings.filterwarnings("ignore")

from mlflow.store.model_registry.dbmodels import models as registry  # noqa: E402
from mlflow.store.tracking.dbmodels import models as tracking  # noqa: E402
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: E402

API = "/api/2.0/mlflow"
STATUSES = {"PENDING": 1, "READY": 2, "UPLOAD_FAILED": 3}
MOST_PAGES = 4


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


PLACES = {
    "experiments": ("POST", "experiments/search", "experiments", lambda e: e["experiment_id"]),
    "runs": ("POST", "runs/search", "runs", lambda r: r["info"]["run_id"]),
    "logged-models": ("POST", "logged-models/search", "models", lambda m: m["info"]["model_id"]),
    "models": ("GET", "registered-models/search", "registered_models", lambda m: m["name"]),
    "versions": (
        "GET",
        "model-versions/search",
        "model_versions",
        lambda v: f"{v['name']} {v['version']}",
    ),
}


def ask(client, query):
    """The ids of the first pages, or the error's code."""
    method, path, member, id_of = PLACES[query["entity"]]
    body, found = dict(query["body"]), []
    for _ in range(MOST_PAGES):
        sent = {"json": body} if method == "POST" else {"query_string": body}
        answer = client.open(f"{API}/{path}", method=method, **sent)
        if answer.status_code != 200:
            return {"error": answer.get_data(as_text=True)[:500]}
        page = answer.get_json()
        found.append([id_of(one) for one in page.get(member, [])])
        body["page_token"] = page.get("next_page_token")
        if not body["page_token"]:
            return {"pages": found}
    return {"pages": found}


def work(queries):
    import logging

    logging.disable(logging.CRITICAL)
    from mlflow.server import app

    client = app.test_client()
    return [ask(client, query) for query in queries]


if __name__ == "__main__":
    seed(json.loads((FOLDER / "data.json").read_text()))
    asked = json.loads((FOLDER / "queries.json").read_text())
    import mlflow.server  # noqa: E402, F401  (imported once, before the processes part)

    with multiprocessing.get_context("fork").Pool(2) as pool:
        chunks = [asked[at : at + 100] for at in range(0, len(asked), 100)]
        answers = [one for chunk in pool.imap(work, chunks) for one in chunk]
    (FOLDER / "answers.json").write_text(json.dumps(answers))
