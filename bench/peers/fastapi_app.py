"""FastAPI with pydantic and ONNX Runtime: no token, no metrics, no log.

Usage: MODEL=… THREADS=… FEATURES=… uvicorn fastapi_app:app --workers N
"""

import os
from typing import Annotated, Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, Field

features = int(os.environ["FEATURES"])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ["THREADS"])
options.inter_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(
    os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
)
input_name = session.get_inputs()[0].name
names = [output.name for output in session.get_outputs()]

Row = Annotated[list[float], Field(min_length=features, max_length=features)]


class Request(BaseModel):
    instances: Annotated[list[Row], Field(min_length=1)]


class Answer(BaseModel):
    predictions: list[Any]


app = FastAPI()


# In the event loop: for small models a thread of its own costs more than the model.
@app.post("/predict")
async def predict(request: Request) -> Answer:
    rows = np.asarray(request.instances, dtype=np.float32)
    columns = [output.tolist() for output in session.run(None, {input_name: rows})]
    if len(names) == 1:
        return Answer(predictions=columns[0])
    return Answer(predictions=[dict(zip(names, row)) for row in zip(*columns)])
