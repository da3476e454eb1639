"""From data to a version in Staging: check, train, convert, log, register, evaluate, ask.

Usage: MLFLOW_TRACKING_URI=http://relais:8080 MLFLOW_TRACKING_TOKEN=… python pipeline.py

Where the server is and who asks come from the environment, never from this file. Ends with 1 and a
sentence when the data do not fit, when the converted model disagrees, or when the version that the
server holds is right too seldom; only then nothing is in Staging.
"""

import argparse
import os
import sys
import warnings

import mlflow
import numpy as np
import onnxruntime
import requests
from mlflow import MlflowClient
from mlflow.models import infer_signature
from pandera.errors import SchemaErrors
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import data

# MLflow deprecates stages; Relais keeps them.
warnings.filterwarnings("ignore", message=".*transition_model_version_stage.*")


class Rejected(Exception):
    """The model is not good enough, and why."""


def convert(model, features):
    """The model as ONNX, checked on the rows it was trained on."""
    matrix = features.to_numpy(np.float32)
    converted = to_onnx(model, matrix[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    labels, scores = session.run(None, {session.get_inputs()[0].name: matrix})
    expected = model.predict_proba(matrix)
    if not np.allclose(scores, expected, atol=1e-4) or list(labels) != list(model.predict(matrix)):
        raise Rejected("ONNX Runtime disagrees with scikit-learn")
    return converted


def log(converted, model, features, name, params):
    """Logs params and model in a run and registers it. Returns run id and version."""
    frame = features.astype(np.float32)
    signature = infer_signature(frame, model.predict(frame.to_numpy()))
    with mlflow.start_run() as run:
        mlflow.log_params(params)
        info = mlflow.onnx.log_model(
            converted,
            name="model",
            signature=signature,
            registered_model_name=name,
        )
    return run.info.run_id, info.registered_model_version


def predict(server, token, name, version, features):
    """Labels by the server's prediction API: what is measured is what will be served."""
    answer = requests.post(
        f"{server}/v1/models/{name}/versions/{version}:predict",
        json={"instances": features.astype(np.float32).to_dict("records")},
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )
    if not answer.ok:
        raise Rejected(f"the server answers {answer.status_code}: {answer.text[:500]}")
    return [row["label"] for row in answer.json()["predictions"]]


def settings():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="wine", help="registered model")
    parser.add_argument("--experiment", default="wine", help="experiment of the run")
    parser.add_argument("--min-accuracy", type=float, default=0.9, help="on rows held out")
    parser.add_argument("--strength", type=float, default=1.0, help="inverse of the regularisation")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def secret(name):
    value = os.environ.get(name, "")
    if value == "":
        sys.exit(f"{name} is not set")
    return value


def main():
    args = settings()
    server, token = secret("MLFLOW_TRACKING_URI").rstrip("/"), secret("MLFLOW_TRACKING_TOKEN")
    (features, target), (unseen, truth) = data.split(data.load(), args.seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=args.strength, max_iter=1000))
    model.fit(features.to_numpy(np.float32), target)

    mlflow.set_experiment(args.experiment)
    params = {"C": args.strength, "seed": args.seed, "rows": len(features)}
    run, version = log(convert(model, features), model, features, args.name, params)

    client = MlflowClient()
    labels = predict(server, token, args.name, version, unseen)
    accuracy = float(np.mean(np.array(labels) == truth.to_numpy()))
    client.log_metric(run, "accuracy", accuracy)
    passed = accuracy >= args.min_accuracy
    client.set_model_version_tag(args.name, version, "evaluation", "passed" if passed else "failed")
    told = f"{args.name} version {version} is right on {accuracy:.1%} of {len(truth)} unseen rows"
    if not passed:
        raise Rejected(f"{told}, and {args.min_accuracy:.1%} are asked for")
    client.transition_model_version_stage(args.name, version, "Staging")
    print(f"{told}; it is in Staging")
    if "GITHUB_OUTPUT" in os.environ:
        with open(os.environ["GITHUB_OUTPUT"], "a") as out:
            out.write(f"version={version}\n")


if __name__ == "__main__":
    try:
        main()
    except SchemaErrors as fault:
        sys.exit(f"rejected: the data do not fit: {fault}")
    except Rejected as fault:
        sys.exit(f"rejected: {fault}")
