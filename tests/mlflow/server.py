"""MLflow's own scoring server for several models, each below its name, in one process.

Usage: python tests/mlflow/server.py FOLDER, which holds the models of tests/mlflow/models.ts. Saves
every model with the flavour mlflow.onnx, loads it as `mlflow models serve` does, and prints the port
once all of them answer.
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


def columns(*pairs):
    return Schema([ColSpec(COLUMN_TYPES[kind], name) for name, kind in pairs])


def tensors(*specs):
    return Schema([
        TensorSpec(np.dtype(kind), shape, name) for name, kind, shape in specs
    ])


def example_columns(name):
    schema = json.loads((EXAMPLES / name / "schema.json").read_text())
    return columns(*((column["name"], column["type"]) for column in schema["columns"]))


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
        "uneven": (folder / "uneven.onnx", columns(("p", "float32"), ("q", "float32"))),
        "typed": (folder / "typed.onnx", columns(*TYPED)),
        "single": (folder / "single.onnx", columns(("x", "float32"))),
        "odd": (folder / "odd.onnx", columns(("x", "float32"))),
        "image": (folder / "image.onnx", tensors(("pixels", "float32", (-1, 2, 2)))),
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
