"""Models of other kinds, logged and registered with default arguments: what they are and should answer.

Usage: python tests/mlflow/flavours.py; MLFLOW_TRACKING_URI and what gives access in the environment.
Prints one JSON object: name of the model → what was logged, rows and outputs that they should give; and
under `refused` the error codes of calls that are not implemented.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

RANDOM = np.random.default_rng(7)


def network(sizes):
    """A multi-layer perceptron: y = relu(x W₁ + b₁) W₂ + b₂ …, and its weights."""
    weights, nodes, value = [], [], "x"
    for at, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
        matrix = RANDOM.normal(scale=rows**-0.5, size=(rows, columns)).astype(np.float32)
        offset = RANDOM.normal(size=columns).astype(np.float32)
        weights += [(f"w{at}", matrix), (f"b{at}", offset)]
        last = at == len(sizes) - 2
        linear = "y" if last else f"z{at}"
        nodes.append(helper.make_node("Gemm", [value, f"w{at}", f"b{at}"], [linear]))
        if not last:
            nodes.append(helper.make_node("Relu", [linear], [f"h{at}"]))
            value = f"h{at}"
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])]
        for name, size in (("x", sizes[0]), ("y", sizes[-1]))
    ]
    tensors = [numpy_helper.from_array(tensor, name) for name, tensor in weights]
    graph = helper.make_graph(nodes, "network", *ends, initializer=tensors)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10), weights


def answers(weights, rows):
    """What the network gives, computed by numpy."""
    value = rows
    for at in range(0, len(weights), 2):
        value = value @ weights[at][1] + weights[at + 1][1]
        if at < len(weights) - 2:
            value = np.maximum(value, 0)
    return value


def logged(name, sizes):
    model, weights = network(sizes)
    rows = RANDOM.normal(size=(3, sizes[0])).astype(np.float32)
    info = mlflow.onnx.log_model(model, name=name, registered_model_name=name)
    files = [file.path for file in MlflowClient().list_logged_model_artifacts(info.model_id)]
    again = mlflow.onnx.load_model(f"models:/{name}/1")
    same = [numpy_helper.to_array(tensor) for tensor in again.graph.initializer]
    assert all(np.array_equal(a, b) for a, (_, b) in zip(same, weights, strict=True))
    return {
        "bytes": sum(tensor.nbytes for _, tensor in weights),
        "files": files,
        "rows": rows.tolist(),
        "outputs": answers(weights, rows).tolist(),
    }


def plain():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    mlflow.sklearn.log_model(model, name="plain", registered_model_name="plain")
    version = MlflowClient().get_model_version("plain", "1")
    reloaded = mlflow.sklearn.load_model("models:/plain/1")
    return {
        "status": version.status,
        "message": version.status_message,
        "prediction": reloaded.predict([[1.0]]).tolist(),
    }


def refused():
    """Error codes of what is not implemented; none is repeated by the client."""
    client = MlflowClient()
    calls = {
        "traces": lambda: client.search_traces(locations=["0"]),
        "webhooks": client.list_webhooks,
        "evaluation": lambda: client.create_dataset("questions"),
        "workspaces": client.list_workspaces,
    }
    return {name: code_of(call) for name, call in calls.items()}


def code_of(call):
    try:
        return f"no error but {call()}"
    except MlflowException as fault:
        return fault.error_code


def main():
    mlflow.set_experiment("flavours")
    seen = {
        "network": logged("network", [20, 64, 32, 3]),
        "large": logged("large", [5, 5000, 5000, 2]),
        "plain": plain(),
        "refused": refused(),
    }
    json.dump(seen, sys.stdout)


main()
