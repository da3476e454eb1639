"""What happens to the pipeline's two versions: refused, promoted, loaded, rolled back, by MLflow's client.

Usage: python tests/mlflow/rollback.py; MLFLOW_TRACKING_URI, TRAIN_TOKEN (a data-scientist) and CI_TOKEN
in the environment. Prints one JSON object of what was seen.
"""

import json
import os
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
sys.path.append(str(Path(__file__).resolve().parents[2] / "examples/pipeline"))

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import requests  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

import data  # noqa: E402

NAME = "wine"
SERVER = os.environ["MLFLOW_TRACKING_URI"]


def become(role):
    os.environ["MLFLOW_TRACKING_TOKEN"] = os.environ[f"{role}_TOKEN"]


def move(version, stage, **more):
    """The stage it is in now, or the error code, its status and text."""
    try:
        return (
            MlflowClient()
            .transition_model_version_stage(NAME, version, stage, **more)
            .current_stage
        )
    except MlflowException as fault:
        return [fault.error_code, fault.get_http_status_code(), fault.message]


def served(rows):
    """Number of the version that answers, and its probabilities."""
    answer = requests.post(
        f"{SERVER}/v1/models/{NAME}:predict",
        json={"instances": rows.tolist()},
        headers={"Authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"},
        timeout=60,
    ).json()
    return answer["model_version"], [row["probabilities"] for row in answer["predictions"]]


def loaded(rows):
    """Probabilities of what the client itself loads from Production."""
    model = mlflow.onnx.load_model(f"models:/{NAME}/Production")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["probabilities"], {session.get_inputs()[0].name: rows})[0].tolist()


def main():
    _, (unseen, _) = data.split(data.load(), 7)
    rows = unseen.to_numpy(np.float32)
    seen = {}
    become("TRAIN")
    seen["refused"] = move("1", "Production")
    become("CI")
    seen["first"] = move("1", "Production")
    seen["first served"], seen["first answers"] = served(rows)
    seen["first loaded"] = loaded(rows)
    seen["second"] = move("2", "Production", archive_existing_versions=True)
    seen["second served"], seen["second answers"] = served(rows)
    # The two steps of a rollback by hand.
    seen["taken down"] = move("2", "Archived")
    seen["put back"] = move("1", "Production")
    seen["last served"], seen["last answers"] = served(rows)
    json.dump(seen, sys.stdout)


main()
