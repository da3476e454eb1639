"""Things to register: a small ONNX model in a logged model, and the same files in a run."""

from onnx import TensorProto, helper

MLMODEL = """\
flavors:
  onnx:
    code: null
    data: model.onnx
    onnx_version: 1.23.2
    providers: [CPUExecutionProvider]
  python_function:
    data: model.onnx
    loader_module: mlflow.onnx
    python_version: 3.11.7
"""


def doubler():
    """y = x + x"""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    return graph(nodes, [])


def graph(nodes, weights):
    """A model from x to y, matrices with two columns."""
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2])] for name in ("x", "y")
    ]
    made = helper.make_graph(nodes, "graph", *ends, initializer=weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def files(do):
    place = do.folder / "source"
    if not place.exists():
        place.mkdir()
        (place / "MLmodel").write_text(MLMODEL)
        (place / "model.onnx").write_bytes(doubler().SerializeToString())
    return str(place)


def logged(do, name):
    """Address of a logged model of the default experiment, with files, ready."""
    model = do.client.create_logged_model("0", name).model_id
    do.client.log_model_artifacts(model, files(do))
    do.client.finalize_logged_model(model, "READY")
    return f"models:/{model}"


def run_with_model(do, name, **more):
    """Id of a run of the default experiment that has the files below `model`."""
    run = do.client.create_run("0", start_time=1000, run_name=name, **more).info.run_id
    do.client.log_artifacts(run, files(do), "model")
    return run


def register(do, name, source, **more):
    """A version from what `logged` gave; the server wants to be told the model's id as well."""
    model = source.rsplit("/", 1)[1]
    return do.client.create_model_version(name, source, model_id=model, **more)
