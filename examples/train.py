"""Trains the example models and writes model, feature schema and reference predictions.

Usage: python examples/train.py [output folder]   (default: examples/models)

Every reference value comes from scikit-learn. The script fails when ONNX Runtime disagrees with
it, so a folder it writes is a folder that was checked.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
from onnx.helper import make_opsetid
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 7
TOLERANCE = 1e-5
MAX_MODEL_BYTES = 400_000
MAX_REFERENCE_BYTES = 150_000


def float32(values):
    # Clients send what a float32 tensor can hold; both sides must see the same numbers.
    return np.asarray(values, dtype=np.float32)


def plain(value):
    """A JSON value: null for a missing number, the shortest text that gives the float32 back."""
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return None
        return float(str(value)) if isinstance(value, np.float32) else float(value)
    if isinstance(value, np.generic):
        return value.item()
    return value


def column_name(title):
    return title.replace(" (cm)", "").replace(" ", "_")


def bounds(values, low=None):
    """Limits half a range beyond the data: they catch wrong units, not unusual rows."""
    smallest, largest = float(np.nanmin(values)), float(np.nanmax(values))
    margin = (largest - smallest) / 2
    below = smallest - margin if low is None else low
    return float(f"{below:.4g}"), float(f"{largest + margin:.4g}")


def matrix_columns(names, data, input_name, descriptions, low=None):
    columns = []
    for index, name in enumerate(names):
        smallest, largest = bounds(data[:, index], low)
        columns.append({
            "name": name,
            "type": "float32",
            "input": input_name,
            "index": index,
            "min": smallest,
            "max": largest,
            "description": descriptions[index],
            "example": plain(data[0, index]),
        })
    return columns


def close(actual, expected):
    return bool(np.all(np.abs(actual - expected) <= TOLERANCE * np.maximum(1, np.abs(expected))))


def check_inside(columns, rows):
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            name = column["name"]
            if value is None:
                assert column.get("nullable"), f"{name} is null"
            elif "allowed" in column:
                assert value in column["allowed"], f"{name}: {value}"
            else:
                assert column["min"] <= value <= column["max"], f"{name}: {value}"


def tidy(onnx_model):
    """The converter writes operator sets in any order, even twice; sorted, runs are equal."""
    versions = {opset.domain: opset.version for opset in onnx_model.opset_import}
    del onnx_model.opset_import[:]
    onnx_model.opset_import.extend(
        make_opsetid(domain, version) for domain, version in sorted(versions.items())
    )
    return onnx_model.SerializeToString(deterministic=True)


def save(root, name, model, onnx_model, feeds, features, columns, rows, truth):
    """Compares ONNX Runtime with scikit-learn on the held-out rows, then writes the folder."""
    content = tidy(onnx_model)
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    results = dict(zip(names, session.run(None, feeds), strict=True))
    predicted = model.predict(features)

    if hasattr(model, "predict_proba"):
        task = "classification"
        label, scores = names
        classes = [plain(value) for value in model.classes_]
        expected = model.predict_proba(features)
        actual = np.array([[row[key] for key in classes] for row in results[scores]])
        assert list(results[label]) == list(predicted), f"{name}: labels differ"
        assert close(actual, expected), f"{name}: scores differ"
        outputs = [
            {"name": label, "role": "label", "classes": classes},
            {"name": scores, "role": "scores", "classes": classes},
        ]
        values = {
            label: [plain(value) for value in predicted],
            scores: [[float(score) for score in row] for row in expected],
        }
        metrics = {
            "accuracy": float(accuracy_score(truth, predicted)),
            "f1_score": float(f1_score(truth, predicted, average="weighted")),
        }
    else:
        task = "regression"
        (output,) = names
        expected = np.asarray(predicted, dtype=np.float64)
        assert close(results[output].reshape(-1), expected), f"{name}: values differ"
        outputs = [{"name": output, "role": "value"}]
        values = {output: [float(value) for value in expected]}
        metrics = {
            "rmse": float(root_mean_squared_error(truth, predicted)),
            "r2": float(r2_score(truth, predicted)),
        }

    json_rows = [[plain(value) for value in row] for row in rows]
    check_inside(columns, json_rows)
    schema = {"task": task, "columns": columns, "outputs": outputs}
    reference = {
        "model": name,
        "task": task,
        "columns": [column["name"] for column in columns],
        "rows": json_rows,
        "truth": [plain(value) for value in truth],
        "outputs": values,
        "metrics": metrics,
    }
    reference_text = json.dumps(reference, allow_nan=False) + "\n"
    assert len(content) < MAX_MODEL_BYTES, f"{name}: model has {len(content)} bytes"
    assert len(reference_text) < MAX_REFERENCE_BYTES, f"{name}: reference too long"

    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "schema.json").write_text(json.dumps(schema, indent=2, allow_nan=False) + "\n")
    (folder / "reference.json").write_text(reference_text)
    print(f"{name}: {len(content)} bytes, {len(json_rows)} rows, {names}, {metrics}")
    return expected


def matrix_model(root, name, model, split, columns):
    train, held_out, train_truth, truth = split
    model.fit(train, train_truth)
    onnx_model = to_onnx(model, train[:1])
    onnx_model.graph.name = name
    return save(root, name, model, onnx_model, {"X": held_out}, held_out, columns, held_out, truth)


def check_versions_differ(first, second, share):
    """Swap tests tell versions apart by their scores, so these must differ visibly."""
    different = np.mean(np.abs(first - second).max(axis=1) > 1e-3)
    assert different >= share, f"only {different:.3f} of the rows differ"


def breast_cancer(root):
    data = load_breast_cancer()
    features = float32(data.data)
    names = [column_name(title) for title in data.feature_names]
    descriptions = [f"{title.capitalize()} of the cell nuclei" for title in data.feature_names]
    columns = matrix_columns(names, features, "X", descriptions, low=0)
    split = train_test_split(
        features, data.target, test_size=0.3, random_state=SEED, stratify=data.target
    )
    first = RandomForestClassifier(n_estimators=50, max_depth=6, random_state=SEED)
    # Large leaves never give a probability of 0 or 1, so nearly every row differs from v1.
    second = RandomForestClassifier(
        n_estimators=60, max_features=2, min_samples_leaf=30, random_state=SEED + 1
    )
    check_versions_differ(
        matrix_model(root, "breast-cancer", first, split, columns),
        matrix_model(root, "breast-cancer-v2", second, split, columns),
        share=0.95,
    )


def iris(root):
    data = load_iris()
    features = float32(data.data)
    names = [column_name(title) for title in data.feature_names]
    descriptions = [name.capitalize().replace("(cm)", "in cm") for name in data.feature_names]
    columns = matrix_columns(names, features, "X", descriptions, low=0)
    split = train_test_split(
        features, data.target, test_size=0.3, random_state=SEED, stratify=data.target
    )
    first = RandomForestClassifier(n_estimators=20, random_state=SEED)
    second = RandomForestClassifier(
        n_estimators=25, max_features=1, min_samples_leaf=12, random_state=SEED + 1
    )
    check_versions_differ(
        matrix_model(root, "iris", first, split, columns),
        matrix_model(root, "iris-v2", second, split, columns),
        share=1,
    )


def diabetes(root):
    data = load_diabetes()
    features = float32(data.data)
    titles = {
        "age": "Age",
        "sex": "Sex",
        "bmi": "Body mass index",
        "bp": "Mean blood pressure",
        "s1": "Total serum cholesterol",
        "s2": "Low-density lipoproteins",
        "s3": "High-density lipoproteins",
        "s4": "Total cholesterol / HDL",
        "s5": "Log of serum triglycerides",
        "s6": "Blood sugar level",
    }
    descriptions = [f"{titles[name]}, centred and scaled" for name in data.feature_names]
    columns = matrix_columns(list(data.feature_names), features, "X", descriptions)
    split = train_test_split(features, data.target, test_size=0.3, random_state=SEED)
    model = GradientBoostingRegressor(
        n_estimators=60, max_depth=3, learning_rate=0.08, random_state=SEED
    )
    matrix_model(root, "diabetes", model, split, columns)


def customer_table(count):
    """A made-up table in which support calls, month-to-month contracts and prices drive churn."""
    random = np.random.default_rng(SEED)
    plan = random.choice(["basic", "standard", "premium"], count, p=[0.45, 0.35, 0.2])
    contract = random.choice(["monthly", "yearly"], count, p=[0.6, 0.4])
    region = random.choice(["north", "south", "east", "west"], count)
    tenure = random.integers(0, 73, count)
    calls = random.poisson(1.5, count)
    price = {"basic": 20, "standard": 45, "premium": 80}
    charges = np.array([price[name] for name in plan]) + random.normal(0, 6, count)
    satisfaction = np.clip(random.normal(3.4, 1, count), 1, 5)
    chance = (
        -1.2
        + 0.7 * calls
        + 1.4 * (contract == "monthly")
        + 0.02 * charges
        - 0.05 * tenure
        - 0.5 * (satisfaction - 3)
        + random.logistic(0, 0.5, count)
    )
    # Some customers never answered the survey; the pipeline fills the gap.
    satisfaction[random.random(count) < 0.12] = np.nan
    table = pd.DataFrame({
        "plan": plan.astype(object),
        "contract": contract.astype(object),
        "region": region.astype(object),
        "tenure_months": tenure.astype(np.int64),
        "support_calls": calls.astype(np.int64),
        "monthly_charges": float32(np.round(charges, 2)),
        "satisfaction": float32(np.round(satisfaction, 1)),
    })
    return table, np.where(chance > 0, "leaves", "stays").astype(object)


def customers(root):
    table, truth = customer_table(900)
    train, held_out, train_truth, held_out_truth = train_test_split(
        table, truth, test_size=180, random_state=SEED, stratify=truth
    )
    words = ["plan", "contract", "region"]
    counts = ["tenure_months", "support_calls"]
    numbers = ["monthly_charges", "satisfaction"]
    # Integer columns get a scaler of their own: ONNX cannot concatenate int64 with float32.
    model = make_pipeline(
        ColumnTransformer([
            ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
            ("counts", StandardScaler(), counts),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ]),
        LogisticRegression(max_iter=1000, random_state=SEED),
    )
    model.fit(train, train_truth)

    kinds = {
        **dict.fromkeys(words, (StringTensorType, "string", object)),
        **dict.fromkeys(counts, (Int64TensorType, "int64", np.int64)),
        **dict.fromkeys(numbers, (FloatTensorType, "float32", np.float32)),
    }
    onnx_model = convert_sklearn(
        model, "customers", [(name, kinds[name][0]([None, 1])) for name in table.columns]
    )
    descriptions = {
        "plan": "Subscribed plan",
        "contract": "Length of the contract",
        "region": "Sales region",
        "tenure_months": "Months since the first contract",
        "support_calls": "Calls to the help desk in the last year",
        "monthly_charges": "Monthly price in euros",
        "satisfaction": "Last survey answer from 1 to 5, null when there is none",
    }
    limits = {
        "tenure_months": (0, 600),
        "support_calls": (0, 100),
        "monthly_charges": (0, 500),
        "satisfaction": (1, 5),
    }
    columns = []
    for name in table.columns:
        column = {"name": name, "type": kinds[name][1], "input": name, "index": 0}
        if name in limits:
            column["min"], column["max"] = limits[name]
        else:
            column["allowed"] = sorted(set(table[name]))
        if name == "satisfaction":
            column["nullable"] = True
        column["description"] = descriptions[name]
        column["example"] = plain(table[name].dropna().iloc[0])
        columns.append(column)
    feeds = {
        name: held_out[name].to_numpy().astype(kinds[name][2]).reshape(-1, 1)
        for name in table.columns
    }
    rows = [list(row) for row in zip(*(held_out[name].to_numpy() for name in table.columns))]
    assert any(value is None for row in rows for value in map(plain, row)), "no missing answer"
    save(root, "customers", model, onnx_model, feeds, held_out, columns, rows, held_out_truth)


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models"
    breast_cancer(root)
    iris(root)
    diabetes(root)
    customers(root)


if __name__ == "__main__":
    main()
