"""Writes silero.json: what Silero VAD v5 answers to three windows of a made-up sound.

Usage: python make_silero.py path/to/silero_vad_v5.onnx

The file is `package/dist/silero_vad_v5.onnx` of the npm package @ricky0123/vad-web 0.0.31, so
`node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx` after an install.
Needs: onnxruntime==1.30.0 numpy==2.4.6.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

RATE = 16000
WINDOW = 512
WINDOWS = 3
MODEL_SHA256 = "2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f"


def sound():
    """A gliding buzz with overtones and a slow swell: enough like a voice to move the score."""
    time = np.arange(WINDOW * WINDOWS) / RATE
    phase = 2 * np.pi * (140 * time + 250 * time**2)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 6 * time)
    waves = sum(np.sin(phase * n) / n for n in range(1, 13))
    # Four decimals keep the file short; the float32 below are what a client sends.
    return np.round(0.25 * swell * waves, 4).astype(np.float32).reshape(WINDOWS, 1, WINDOW)


def short(values):
    """The shortest decimal text that gives the same float32 back."""
    return [float(str(value)) for value in np.asarray(values, dtype=np.float32).reshape(-1)]


def main():
    content = Path(sys.argv[1]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == MODEL_SHA256, "another model file"
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["input", "state", "sr"]
    assert [item.name for item in session.get_outputs()] == ["output", "stateN"]

    state = np.zeros((2, 1, 128), dtype=np.float32)
    steps = []
    for window in sound():
        feeds = {"input": window, "state": state, "sr": np.array(RATE, dtype=np.int64)}
        output, state = session.run(None, feeds)
        steps.append({
            "input": short(window),
            "output": {"shape": list(output.shape), "data": short(output)},
            "stateN": {"shape": list(state.shape), "data": short(state)},
        })
    result = {
        "package": "@ricky0123/vad-web@0.0.31",
        "file": "dist/silero_vad_v5.onnx",
        "sha256": MODEL_SHA256,
        "inputs": {
            "input": {"type": "float32", "shape": [1, WINDOW]},
            "state": {"type": "float32", "shape": [2, 1, 128], "first": 0},
            "sr": {"type": "int64", "shape": [], "data": [RATE]},
        },
        "steps": steps,
    }
    target = Path(__file__).parent / "silero.json"
    target.write_text(json.dumps(result, allow_nan=False) + "\n")
    print(target.stat().st_size, "bytes", [step["output"]["data"] for step in steps])


if __name__ == "__main__":
    main()
