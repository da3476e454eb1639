"""MLflow's own scoring server for several models, each below its name, in one process.

Usage: python tests/mlflow/server.py FOLDER. Writes FOLDER/<name>.onnx for the models made here,
saves every model with the flavour mlflow.onnx, loads it as `mlflow models serve` does, and prints
the port once all of them answer.
"""

import json
import logging
import socket
import sys
import warnings
from pathlib import Path

import mlflow.onnx
import mlflow.pyfunc
import numpy as np
import onnx
import uvicorn
from fastapi import FastAPI
from mlflow.models import ModelSignature
from mlflow.pyfunc.scoring_server import init
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/models"
MODELS = ROOT / "tests/models"

COLUMN_TYPES = {
    "string": "string",
    "bool": "boolean",
    "int32": "integer",
    "int64": "long",
    "float32": "float",
    "float64": "double",
}
MATRIX_KINDS = (
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool string"
).split()
ONNX = {
    "string": TensorProto.STRING,
    "bool": TensorProto.BOOL,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


def columns(*pairs):
    return Schema([ColSpec(COLUMN_TYPES[kind], name) for name, kind in pairs])


def tensors(*specs):
    return Schema([
        TensorSpec(np.dtype(kind), shape, name) for name, kind, shape in specs
    ])


def example_columns(name):
    schema = json.loads((EXAMPLES / name / "schema.json").read_text())
    return columns(*((column["name"], column["type"]) for column in schema["columns"]))


def graph(folder, name, nodes, inputs, outputs):
    """Writes a small model; inputs and outputs are (name, kind, shape)."""
    values = [
        [helper.make_tensor_value_info(n, ONNX[kind], shape) for n, kind, shape in side]
        for side in (inputs, outputs)
    ]
    model = helper.make_model(
        helper.make_graph(nodes, name, *values),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def identities(pairs, shape):
    """Nodes, inputs and outputs of a model that gives each input back."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name, _ in pairs]
    inputs = [(name, kind, shape) for name, kind in pairs]
    return nodes, inputs, [(f"{name}_out", kind, shape) for name, kind in pairs]


TYPED = [
    ("count", "int64"),
    ("small", "int32"),
    ("ratio", "float64"),
    ("weight", "float32"),
    ("active", "bool"),
    ("city", "string"),
]


def served(folder):
    """name -> (model file, input schema)."""
    typed = graph(folder, "typed", *identities(TYPED, ["N"]))
    single = graph(folder, "single", *identities([("x", "float32")], ["N", 1]))
    image = graph(folder, "image", *identities([("pixels", "float32")], ["N", 2, 2]))
    odd = graph(
        folder,
        "odd",
        [helper.make_node("Log", ["x"], ["y"])],
        [("x", "float32", ["N", 1])],
        [("y", "float32", ["N", 1])],
    )
    uneven = graph(
        folder,
        "uneven",
        [
            helper.make_node("Identity", ["x"], ["same"]),
            helper.make_node("ReduceMax", ["x"], ["most"], axes=[1], keepdims=0),
        ],
        [("x", "float32", ["N", 2])],
        [("same", "float32", ["N", 2]), ("most", "float32", ["N"])],
    )
    matrices = {
        kind: (
            MODELS / f"identity-{kind}.onnx",
            tensors((None, "str" if kind == "string" else kind, (-1, 2))),
        )
        for kind in MATRIX_KINDS
    }
    iris = EXAMPLES / "iris/model.onnx"
    return {
        "iris": (iris, example_columns("iris")),
        "iris-tensor": (iris, tensors((None, "float32", (-1, 4)))),
        "customers": (EXAMPLES / "customers/model.onnx", example_columns("customers")),
        "diabetes": (EXAMPLES / "diabetes/model.onnx", example_columns("diabetes")),
        "multi": (
            MODELS / "multi.onnx",
            tensors(("a", "float32", (-1, 3)), ("b", "float32", (-1, 3))),
        ),
        "scalar": (
            MODELS / "scalar.onnx",
            tensors(("x", "float32", (-1, 2)), ("k", "int64", ())),
        ),
        **matrices,
        "flat": (MODELS / "identity-float32.onnx", columns(("p", "float32"), ("q", "float32"))),
        "uneven": (uneven, columns(("p", "float32"), ("q", "float32"))),
        "typed": (typed, columns(*TYPED)),
        "single": (single, columns(("x", "float32"))),
        "odd": (odd, columns(("x", "float32"))),
        "image": (image, tensors(("pixels", "float32", (-1, 2, 2)))),
    }


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    folder = Path(sys.argv[1])
    app = FastAPI()
    for name, (file, schema) in served(folder).items():
        saved = folder / f"saved-{name}"
        mlflow.onnx.save_model(
            onnx.load(file),
            saved,
            signature=ModelSignature(inputs=schema),
            pip_requirements=[],
            save_as_external_data=False,
        )
        app.mount(f"/{name}", init(mlflow.pyfunc.load_model(str(saved))))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    # Connections are taken as soon as it listens; they wait until the loop runs.
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])


main()
