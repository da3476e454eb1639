"""Fills an MLflow server with one of everything that an import has to bring.

Usage: MLFLOW_TRACKING_URI=… python tests/mlflow/fill.py FOLDER, which holds model.onnx,
crash.onnx and other.onnx. Artifacts of one experiment are written to FOLDER/elsewhere, past the
server's proxy.
"""

import math
import sys
import time
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)

FOLDER = Path(sys.argv[1])
client = MlflowClient()

MLMODEL = """\
flavors:
  onnx:
    data: model.onnx
    onnx_version: 1.23.2
  python_function:
    loader_module: mlflow.onnx
"""


def tree(name, onnx=None, flavour=MLMODEL, more=None):
    """A folder with an MLmodel, an ONNX file, and whatever else; its path."""
    place = FOLDER / "trees" / name
    place.mkdir(parents=True)
    (place / "MLmodel").write_text(flavour)
    if onnx is not None:
        data = (FOLDER / onnx).read_bytes() if isinstance(onnx, str) else onnx
        (place / "model.onnx").write_bytes(data)
    for path, data in (more or {}).items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
    return str(place)


def logged(experiment, name, folder, run=None):
    model = client.create_logged_model(
        experiment,
        name,
        source_run_id=run,
        tags={"team": "flowers", "note": "größe €"},
        params={"depth": "3"},
        model_type="classifier",
    )
    client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    return model.model_id


def register(name, model, **more):
    return client.create_model_version(name, f"models:/{model}", model_id=model, **more).version


def stage(name, version, to):
    client.transition_model_version_stage(name, version, to)


def experiments():
    client.set_experiment_tag("0", "mlflow.note.content", "the first")
    flowers = client.create_experiment("flowers/häuser", tags={"owner": "ann", "empty": ""})
    gap = client.create_experiment("deleted later")
    custom = client.create_experiment("custom", artifact_location="mlflow-artifacts:/some/place")
    elsewhere = client.create_experiment(
        "elsewhere", artifact_location=(FOLDER / "elsewhere").as_uri()
    )
    many = client.create_experiment("many runs")
    lost = client.create_experiment("unreachable", artifact_location="s3://nowhere/x")
    client.create_run(lost, run_name="unreachable")
    return flowers, gap, custom, elsewhere, many


def runs(flowers, gap, custom, elsewhere, many):
    nested = tree(
        "nested",
        "model.onnx",
        more={
            "deep/er/and deeper/data.bin": bytes(range(256)) * 2000,
            "deep/empty.txt": b"",
            "ünï cöde & 100% +.txt": "grüße".encode(),
        },
    )
    run = client.create_run(flowers, start_time=1000, run_name="first", tags={"k": "v"})
    first = run.info.run_id
    now = int(time.time() * 1000)
    for part in range(0, 2500, 1000):
        steps = range(part, min(part + 1000, 2500))
        client.log_batch(first, metrics=[Metric("loss", 1 / (n + 1), now + n, n) for n in steps])
    odd = [math.nan, math.inf, -math.inf, -0.0, 1e-300]
    client.log_batch(
        first,
        metrics=[Metric("odd", value, now, at) for at, value in enumerate(odd)]
        + [Metric("a/b c.d-e", 0.1, now, 0), Metric("step", 5, now, -3)],
        params=[Param("lr", "0.1"), Param("empty", ""), Param("long", "x" * 5000)],
        tags=[RunTag("mlflow.source.git.commit", "abc123"), RunTag("unicode", "🌻")],
    )
    client.log_artifacts(first, nested, "model")
    client.log_artifacts(first, nested, "again/model")
    one = Dataset("iris", "d1", "local", "/iris.csv", "{}", "{}")
    two = Dataset("iris", "d2", "local", "/iris2.csv")
    inputs = [DatasetInput(one, [InputTag("context", "train")]), DatasetInput(two, [])]
    client.log_inputs(first, inputs)
    client.set_terminated(first, "FINISHED", end_time=2000)
    for status in ("FAILED", "KILLED", "RUNNING"):
        run = client.create_run(flowers, start_time=3000).info.run_id
        client.log_metric(run, "m", 1)
        if status != "RUNNING":
            client.set_terminated(run, status)
    deleted = client.create_run(flowers, start_time=4000, run_name="deleted").info.run_id
    client.log_metric(deleted, "m", 2)
    client.log_text(deleted, "still here", "note.txt")
    client.delete_run(deleted)
    client.log_text(client.create_run(gap).info.run_id, "in a deleted experiment", "note.txt")
    client.delete_experiment(gap)
    inside = client.create_run(custom, run_name="inside").info.run_id
    client.log_artifacts(inside, nested, "model")
    outside = client.create_run(elsewhere, run_name="outside").info.run_id
    client.log_artifacts(outside, nested, "model")
    for at in range(52):
        client.create_run(many, start_time=at, run_name=f"run {at}")
    client.log_text(client.create_run("0", run_name="default").info.run_id, "x", "x.txt")
    return first, inside, outside


def models(flowers, elsewhere, first, inside, outside):
    onnx = tree("onnx", "model.onnx")
    other = tree("other", "other.onnx")
    client.create_registered_model("iris", tags={"team": "a", "b": ""}, description="of flowers")
    one = logged(flowers, "clf", onnx, first)
    measured = {"model_id": one, "dataset_name": "iris", "dataset_digest": "d1"}
    client.log_metric(first, "acc", 0.5, step=1, **measured)
    client.log_outputs(first, [LoggedModelOutput(one, 7)])
    client.log_inputs(inside, models=[LoggedModelInput(one)])
    register("iris", one, description="version 1", tags={"x": "y"}, run_id=first)
    register("iris", logged(flowers, "clf", onnx))
    register("iris", logged(flowers, "clf", other), run_link="http://link")
    register("iris", logged(flowers, "clf", onnx))
    client.delete_model_version("iris", "2")
    stage("iris", "1", "Archived")
    stage("iris", "3", "Production")
    stage("iris", "4", "Staging")
    client.set_registered_model_alias("iris", "champion", "3")
    client.set_registered_model_alias("iris", "best_of-1", "3")
    client.set_registered_model_alias("iris", "Production", "4")
    client.set_model_version_tag("iris", "3", "approved", "yes")
    # Deleted after it was registered: its files are still where the version says.
    gone = logged("0", "gone", onnx)
    client.create_registered_model("of a deleted one")
    register("of a deleted one", gone)
    client.delete_logged_model(gone)
    client.copy_model_version("models:/iris/3", "copy it's")
    client.create_registered_model("from runs")
    for run in (first, inside, outside):
        client.create_model_version("from runs", f"runs:/{run}/model", run_id=run)
    stage("from runs", "2", "Production")
    stage("from runs", "3", "Production")
    client.create_registered_model("outside")
    register("outside", logged(elsewhere, "outside", onnx))
    client.create_registered_model("unfit")
    crash = register("unfit", logged("0", "crash", tree("crash", "crash.onnx")))
    stage("unfit", crash, "Production")
    register("unfit", logged("0", "broken", tree("broken", b"no model")))
    plain = "flavors:\n  sklearn: {}\n  python_function: {}\n"
    pickled = register("unfit", logged("0", "plain", tree("plain", None, plain)))
    stage("unfit", pickled, "Staging")
    client.create_registered_model("unreachable")
    client.create_model_version("unreachable", "s3://nowhere/x/model")
    client.create_registered_model("no versions")
    client.create_registered_model("deleted")
    client.delete_registered_model("deleted")
    client.create_registered_model("before")
    client.rename_registered_model("before", "after")
    client.register_prompt("a-prompt", "Say {{word}}.")


def fluent():
    """As a data scientist would: everything at once."""
    import numpy as np
    import onnx
    from mlflow.models import infer_signature

    mlflow.set_experiment("flowers/häuser")
    with mlflow.start_run(run_name="fluent"):
        mlflow.log_metric("accuracy", 0.97)
        mlflow.onnx.log_model(
            onnx.load(FOLDER / "model.onnx"),
            name="clf",
            registered_model_name="fluent",
            signature=infer_signature(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)),
            pip_requirements=[],
        )


def main():
    ids = experiments()
    first, inside, outside = runs(*ids)
    models(ids[0], ids[3], first, inside, outside)
    fluent()


main()
