"""Moves a version to Production, as a pipeline does on the main branch with a `ci` token.

Usage: MLFLOW_TRACKING_URI=… MLFLOW_TRACKING_TOKEN=… python promote.py NAME VERSION
"""

import sys
import warnings

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

# MLflow deprecates stages; Relais keeps them.
warnings.filterwarnings("ignore", message=".*transition_model_version_stage.*")


def main():
    name, version = sys.argv[1:]
    client = MlflowClient()
    try:
        tags = client.get_model_version(name, version).tags
        if tags.get("evaluation") != "passed":
            sys.exit(f"{name} version {version} has not passed its evaluation")
        client.transition_model_version_stage(
            name, version, "Production", archive_existing_versions=True
        )
    except MlflowException as fault:
        sys.exit(f"not promoted: {fault}")
    print(f"{name} version {version} is in Production")


if __name__ == "__main__":
    main()
