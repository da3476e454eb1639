"""Versions pushed to Relais without MLflow, as MLflow's own client loads them."""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from cases import run

import mlflow

IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def predict(uri, data):
    return mlflow.pyfunc.load_model(uri).predict(data)


def test_files_are_listed_and_downloaded():
    for uri in ("models:/iris/1", "models:/iris/Production"):
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=tempfile.mkdtemp()))
        # The client adds a file that says where it took them from.
        names = {path.name for path in folder.iterdir()} - {"registered_model_meta"}
        assert names == {"MLmodel", "model.onnx"}, names
        assert (folder / "model.onnx").stat().st_size == int(os.environ["IRIS_SIZE"])
        model = mlflow.models.Model.load(folder)
        assert set(model.flavors) == {"onnx", "python_function"}
        assert model.get_input_schema().input_names() == IRIS


def test_onnx_flavour():
    model = mlflow.onnx.load_model("models:/iris/1")
    assert [output.name for output in model.graph.output] == ["output_label", "output_probability"]


def test_columns_by_name_in_any_order():
    rows = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]], columns=IRIS)
    for given in (rows, rows[IRIS[::-1]]):
        assert list(predict("models:/iris/1", given)["output_label"]) == [0, 2]


def test_tensors_by_name():
    ones = np.ones((2, 3), np.float32)
    answer = predict("models:/multi/1", {"a": ones, "b": ones})
    assert answer["dot"].tolist() == [3, 3], answer


def test_every_element_type():
    for name, values in {
        "float16": np.array([[1, 2]], np.float16),
        "float32": np.array([[1, 2]], np.float32),
        "float64": np.array([[1, 2]], np.float64),
        "int8": np.array([[1, 2]], np.int8),
        "int64": np.array([[1, 2**60]], np.int64),
        "uint64": np.array([[1, 2**63]], np.uint64),
        "bool": np.array([[True, False]]),
        "string": np.array([["a", "ü"]], object),
    }.items():
        answer = predict(f"models:/{name}/1", {"x": values})["y"]
        assert answer.tolist() == values.tolist(), (name, answer)


if __name__ == "__main__":
    run(sys.modules[__name__])
