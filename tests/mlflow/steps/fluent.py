"""The fluent API as a training script uses it: runs, logging, ONNX models, addresses, loading."""

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from onnx import helper, numpy_helper

from steps.sources import doubler, graph

ROWS = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)


def wide():
    """y = 2x by way of tensors that are large enough to be kept in a file of their own."""
    there = np.zeros((2, 2000), dtype=np.float32)
    there[:, :2] = np.eye(2) * 2
    back = np.zeros((2000, 2), dtype=np.float32)
    back[:2] = np.eye(2)
    nodes = [
        helper.make_node("MatMul", ["x", "there"], ["between"]),
        helper.make_node("MatMul", ["between", "back"], ["y"]),
    ]
    weights = [numpy_helper.from_array(there, "there"), numpy_helper.from_array(back, "back")]
    return graph(nodes, weights)


def run(do):
    do("set experiment", mlflow.set_experiment, "fluent")
    do("set it again", mlflow.set_experiment, "fluent")
    training(do)
    nested(do)
    models(do)
    loading(do)
    searching(do)
    do(
        "delete experiment",
        mlflow.delete_experiment,
        mlflow.get_experiment_by_name("fluent").experiment_id,
    )
    do("set a deleted one", mlflow.set_experiment, "fluent")


def training(do):
    with mlflow.start_run(run_name="train", tags={"team": "risk"}, description="A run.") as active:
        run = active.info.run_id
        do("active", lambda: mlflow.active_run().info.run_name)
        do("params", mlflow.log_params, {"depth": 3, "kind": "tree"})
        do("param", mlflow.log_param, "seed", 7)
        do("metrics", mlflow.log_metrics, {"loss": 0.5, "acc": 0.9}, step=1)
        do("metric", mlflow.log_metric, "loss", 0.25, step=2)
        do("tag", mlflow.set_tag, "note", "good")
        do("tags", mlflow.set_tags, {"a": 1, "b": 2})
        do("delete tag", mlflow.delete_tag, "b")
        do("text", mlflow.log_text, "hello", "notes/hello.txt")
        do("dictionary", mlflow.log_dict, {"a": 1}, "notes/a.json")
        do("table", mlflow.log_table, {"a": [1, 2]}, "t.json")
        do("address", mlflow.get_artifact_uri, "notes")
        frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
        data = mlflow.data.from_pandas(frame, source="http://x/data.csv", name="frame")
        do("input", mlflow.log_input, data, "training", {"k": "v"})
    do("run", told, do, run)
    do("inputs", lambda: do.client.get_run(run).inputs.dataset_inputs)
    do("last", lambda: mlflow.last_active_run().info.status)
    do("continued", continued, run)
    do("failing", failing)
    do("status of it", lambda: mlflow.last_active_run().info.status)


def told(do, run):
    """A run without what the machine puts in: its user, its commit, its file."""
    seen = do.client.get_run(run)
    tags = {
        key: value for key, value in seen.data.tags.items() if not key.startswith("mlflow.source")
    }
    tags.pop("mlflow.user", None)
    return seen.info.status, seen.info.run_name, seen.data.metrics, seen.data.params, tags


def continued(run):
    with mlflow.start_run(run_id=run):
        mlflow.log_metric("late", 1.0, timestamp=10)
    return mlflow.get_run(run).data.metrics["late"]


def failing():
    with mlflow.start_run(run_name="failing"):
        raise ValueError("as it should")


def nested(do):
    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("m", 1.0, timestamp=10)
    do("parent", lambda: mlflow.get_parent_run(child.info.run_id).info.run_name)
    do("children", children, parent.info.run_id)


def children(parent):
    words = f"tags.`mlflow.parentRunId` = '{parent}'"
    return list(mlflow.search_runs(filter_string=words)["tags.mlflow.runName"])


def models(do):
    signature = infer_signature(ROWS, ROWS * 2)
    with mlflow.start_run(run_name="models") as active:
        mlflow.log_metric("acc", 0.9, timestamp=10)
        small = do(
            "log a model", log_model, doubler(), "small", signature=signature, input_example=ROWS
        )
        do("log and register", log_model, doubler(), "kept", registered_model_name="fluent")
        do(
            "log a large one",
            log_model,
            wide(),
            "large",
            registered_model_name="fluent",
            signature=signature,
        )
    do("log without a run", log_model, doubler(), "alone")
    do(
        "register by run",
        mlflow.register_model,
        f"runs:/{active.info.run_id}/small",
        "fluent",
        tags={"a": "1"},
    )
    do("register by id", mlflow.register_model, small, "fluent")
    do("register nothing", mlflow.register_model, f"runs:/{active.info.run_id}/nothing", "fluent")
    do("outputs of the run", lambda: len(mlflow.get_run(active.info.run_id).outputs.model_outputs))
    do("model logged", lambda: mlflow.get_logged_model(small.rsplit("/", 1)[1]))
    do(
        "models logged",
        lambda: sorted(one.name for one in mlflow.search_logged_models(output_format="list")),
    )
    do("versions", versions, do)


def versions(do):
    found = do.client.search_model_versions("name = 'fluent'", order_by=["version_number"])
    return [(one.version, one.status, one.source, one.run_id, one.tags) for one in found]


def log_model(model, name, **more):
    return mlflow.onnx.log_model(model, name=name, pip_requirements=["onnx"], **more).model_uri


def loading(do):
    client = do.client
    client.transition_model_version_stage("fluent", "1", "Production")
    client.transition_model_version_stage("fluent", "2", "Staging")
    client.set_registered_model_alias("fluent", "best", "3")
    for what, uri in {
        "production": "models:/fluent/Production",
        "staging, with a file of tensors": "models:/fluent/Staging",
        "alias": "models:/fluent@best",
        "number": "models:/fluent/1",
        "latest": "models:/fluent/latest",
        "no such stage": "models:/fluent/Archived",
        "no such model": "models:/nobody/1",
    }.items():
        do(f"predict by {what}", lambda uri=uri: predicted(uri))
    do("signature", lambda: str(mlflow.models.get_model_info("models:/fluent@best").signature))
    do("ONNX itself", lambda: len(mlflow.onnx.load_model("models:/fluent/1").graph.node))


def predicted(uri):
    return {
        key: value.tolist() for key, value in mlflow.pyfunc.load_model(uri).predict(ROWS).items()
    }


def searching(do):
    frame = mlflow.search_runs(order_by=["start_time ASC"])
    do("runs as a frame", lambda: sorted(frame["tags.mlflow.runName"].dropna()))
    do("runs by name", lambda: len(mlflow.search_runs(experiment_names=["fluent"])))
    do(
        "experiments",
        lambda: [one.name for one in mlflow.search_experiments(filter_string="name = 'fluent'")],
    )
    do(
        "models",
        lambda: [
            one.name for one in mlflow.search_registered_models(filter_string="name = 'fluent'")
        ],
    )
    do(
        "versions searched",
        lambda: len(mlflow.search_model_versions(filter_string="name = 'fluent'")),
    )
