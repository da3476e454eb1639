"""Saves an ONNX file as an MLflow model.

Usage: python mlflow_model.py MODEL FEATURES FOLDER
"""

import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

path, features, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
signature = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, features))])
)
mlflow.onnx.save_model(onnx.load(path), folder, signature=signature)
