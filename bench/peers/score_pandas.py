"""Scores a CSV as most people would: pandas, ONNX Runtime with its defaults, pandas.

The model is the one that skl2onnx makes, ZipMap at its end. Usage: score_pandas.py IN MODEL OUT
"""

import sys

import numpy as np
import onnxruntime as ort
import pandas as pd

rows, model, out = sys.argv[1:]
frame = pd.read_csv(rows)
session = ort.InferenceSession(model)
features = frame.to_numpy(dtype=np.float32)
labels, scores = session.run(None, {session.get_inputs()[0].name: features})
result = pd.DataFrame(scores)
result.insert(0, "label", labels)
result.to_csv(out, index=False)
