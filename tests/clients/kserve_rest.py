"""kserve.InferenceRESTClient, KServe's own client, in its protocols V1 and V2."""

import sys

import httpx
import numpy as np
from cases import URL, authorized, raises, run
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tensors import ARRAYS, same

ROW = [5.1, 3.5, 1.4, 0.2]
X = np.array([[1, 2], [3, 4]], np.float32)


def v1():
    return InferenceRESTClient(RESTConfig(protocol="v1", retries=0))


def v2():
    return InferenceRESTClient(RESTConfig(protocol="v2", retries=0))


def request(model, array, datatype, binary, outputs=()):
    tensor = InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(
        model,
        [tensor],
        request_outputs=[RequestedOutput(name, {"binary_data": binary}) for name in outputs],
    )


async def test_v1_predict_and_readiness():
    async with v1() as client:
        answer = await client.infer(URL, {"instances": [ROW]}, "iris", headers=authorized())
        assert answer["model_name"] == "iris"
        assert answer["predictions"][0]["output_label"] == 0
        tensors = await client.infer(URL, {"inputs": [ROW]}, "iris", headers=authorized())
        assert tensors["outputs"]["output_label"] == [0]
        assert await client.is_model_ready(URL, "iris", headers=authorized()) is True
        with raises(httpx.HTTPStatusError, "404"):
            await client.is_model_ready(URL, "nobody", headers=authorized())


async def test_v1_health():
    async with v1() as client:
        assert await client.is_server_live(URL) is True


async def test_v1_faults():
    async with v1() as client:
        with raises(httpx.HTTPStatusError, "422"):
            await client.infer(URL, {"instances": [["x"]]}, "iris", headers=authorized())
        with raises(httpx.HTTPStatusError, "401"):
            await client.infer(URL, {"instances": [ROW]}, "iris")


async def test_v2_every_datatype():
    async with v2() as client:
        for element, (datatype, array) in ARRAYS.items():
            for binary in (True, False) if element != "float16" else (True,):
                asked = request(element, array, datatype, binary, ["y"])
                answer = await client.infer(URL, asked, element, headers=authorized())
                assert answer.model_name == element
                same(answer.outputs[0].as_numpy(), array)


async def test_v2_as_a_plain_object():
    body = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": X.tolist()}]}
    async with v2() as client:
        answer = await client.infer(URL, body, "float32", headers=authorized())
        same(answer.outputs[0].as_numpy(), X)


async def test_v2_health_and_readiness():
    async with v2() as client:
        assert await client.is_server_live(URL) is True
        assert await client.is_server_ready(URL) is True
        assert await client.is_model_ready(URL, "iris", headers=authorized()) is True
        assert await client.is_model_ready(URL, "nobody", headers=authorized()) is False


async def test_v2_faults_reach_the_caller():
    async with v2() as client:
        with raises(httpx.HTTPStatusError, "expected shape"):
            asked = request("float32", X.reshape(4, 1), "FP32", True)
            await client.infer(URL, asked, "float32", headers=authorized())
        with raises(httpx.HTTPStatusError, "No model is named"):
            asked = request("nobody", X, "FP32", False)
            await client.infer(URL, asked, "nobody", headers=authorized())
        with raises(httpx.HTTPStatusError, "Authorization"):
            await client.infer(URL, request("float32", X, "FP32", False), "float32")


if __name__ == "__main__":
    run(sys.modules[__name__])
