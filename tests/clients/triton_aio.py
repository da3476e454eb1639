"""tritonclient.http.aio, the asynchronous client of Triton."""

import sys

import numpy as np
import tritonclient.http.aio as triton
from cases import HOST, authorized, raises, run
from ml_dtypes import bfloat16
from tensors import ARRAYS, same
from tritonclient.utils import InferenceServerException

X = np.array([[1, 2], [3, 4]], np.float32)


def given(name, datatype, array, binary=True):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def wanted(name, binary=True, classes=0):
    return triton.InferRequestedOutput(name, binary_data=binary, class_count=classes)


async def test_every_datatype_both_ways():
    async with triton.InferenceServerClient(HOST) as client:
        for element, (datatype, array) in ARRAYS.items():
            for binary in (True, False) if element != "float16" else (True,):
                result = await client.infer(
                    element,
                    [given("x", datatype, array, binary)],
                    outputs=[wanted("y", binary)],
                    headers=authorized(),
                )
                same(result.as_numpy("y"), array)


async def test_compression_both_ways():
    array = np.arange(4000, dtype=np.float32).reshape(2000, 2)
    async with triton.InferenceServerClient(HOST) as client:
        for asked in ("gzip", "deflate", None):
            for answered in ("gzip", "deflate", None):
                result = await client.infer(
                    "float32",
                    [given("x", "FP32", array)],
                    headers=authorized(),
                    request_compression_algorithm=asked,
                    response_compression_algorithm=answered,
                )
                same(result.as_numpy("y"), array)


async def test_metadata_statistics_and_repository():
    async with triton.InferenceServerClient(HOST) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("iris", headers=authorized())
        assert (await client.get_server_metadata(headers=authorized()))["name"] == "relais"
        metadata = await client.get_model_metadata("iris", headers=authorized())
        assert metadata["inputs"][0]["shape"] == [-1, 4]
        assert (await client.get_model_config("iris", headers=authorized()))["max_batch_size"] >= 1
        # Longer than what would be worth packing: this client unpacks answers of inference only.
        statistics = await client.get_inference_statistics(headers=authorized())
        assert len(statistics["model_stats"]) > 10
        index = await client.get_model_repository_index(headers=authorized())
        assert {"name", "version", "state", "reason"} == set(index[0])
        await client.load_model("fleet", headers=authorized())
        with raises(InferenceServerException, "serves Production"):
            await client.unload_model("fleet", headers=authorized())


async def test_classification():
    rows = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
    async with triton.InferenceServerClient(HOST) as client:
        result = await client.infer(
            "iris",
            [given("X", "FP32", rows)],
            outputs=[wanted("output_probability", classes=1)],
            headers=authorized(),
        )
        (text,) = result.as_numpy("output_probability").flatten()
        assert text.decode().endswith(":0:0"), text


async def test_faults_reach_the_caller():
    async with triton.InferenceServerClient(HOST) as client:
        for model, tensor, says in (
            ("nobody", given("x", "FP32", X), "No model is named"),
            ("float32", given("x", "FP32", X.reshape(4, 1)), "expected shape"),
            ("float32", given("x", "BF16", X.astype(bfloat16)), "BF16 is not served"),
        ):
            with raises(InferenceServerException, says):
                await client.infer(model, [tensor], headers=authorized())
        with raises(InferenceServerException, "Authorization"):
            await client.get_model_metadata("iris")


if __name__ == "__main__":
    run(sys.modules[__name__])
