"""One script of calls for any server that MLflow's client can talk to; one JSON line per call.

Usage: MLFLOW_TRACKING_URI=… MLFLOW_TRACKING_TOKEN=… python tests/mlflow/script.py FOLDER OUT [section…]
"""

import inspect
import json
import logging
import os
import re
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
# A fault that is certain must be told at once, not after seven tries.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

from steps import (  # noqa: E402
    artifacts,
    experiments,
    fluent,
    lineage,
    logged_models,
    measures,
    models,
    runs,
    search,
    stages,
    versions,
    wire,
)
from steps.recorder import Recorder  # noqa: E402

SECTIONS = {
    "experiments": experiments,
    "runs": runs,
    "measures": measures,
    "lineage": lineage,
    "logged models": logged_models,
    "artifacts": artifacts,
    "models": models,
    "versions": versions,
    "stages": stages,
    "search": search,
    "wire": wire,
    "fluent": fluent,
}

# Public methods of the client that the script leaves out: pattern → why.
LEFT_OUT = {
    r"trace|span": "traces: not implemented",
    r"prompt": "prompts: not implemented",
    r"webhook": "webhooks: not implemented",
    r"workspace": "workspaces: not implemented",
    r"mcp": "registry of MCP servers: not implemented",
    r"dataset": "evaluation datasets: not implemented",
}


def uncovered(called):
    public = {
        name for name, _ in inspect.getmembers(MlflowClient, inspect.isfunction) if name[0] != "_"
    }
    why = {
        name: next((reason for word, reason in LEFT_OUT.items() if re.search(word, name)), "")
        for name in sorted(public - called)
    }
    return {"methods": len(public), "called": len(public & called), "left out": why}


def main():
    logging.disable(logging.WARNING)
    folder, target, *wanted = sys.argv[1:]
    url = mlflow.get_tracking_uri().rstrip("/")
    with open(target, "w") as out:
        do = Recorder(url, Path(folder), out)
        for name, section in SECTIONS.items():
            if not wanted or name in wanted:
                do.section = name
                section.run(do)
        out.write(json.dumps(uncovered(do.called)) + "\n")


main()
