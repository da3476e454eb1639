"""tritonclient.http, the synchronous client of Triton, as its users call it."""

import sys

import numpy as np
import tritonclient.http as triton
from cases import HOST, authorized, raises, run
from ml_dtypes import bfloat16
from tensors import ARRAYS, same
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(HOST)


def given(name, datatype, array, binary=True):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def wanted(name, binary=True, classes=0):
    return triton.InferRequestedOutput(name, binary_data=binary, class_count=classes)


def infer(model, inputs, **more):
    return client.infer(model, inputs, headers=authorized(), **more)


X = np.array([[1, 2], [3, 4]], np.float32)


def test_every_datatype_binary_both_ways():
    for element, (datatype, array) in ARRAYS.items():
        tensor = given("x", datatype, array)
        same(infer(element, [tensor]).as_numpy("y"), array)
        result = infer(element, [tensor], outputs=[wanted("y")])
        same(result.as_numpy("y"), array)
        assert "binary_data_size" in result.get_output("y")["parameters"]


def test_every_datatype_in_json_both_ways():
    for element, (datatype, array) in ARRAYS.items():
        if element == "float16":
            continue
        tensor = given("x", datatype, array, binary=False)
        result = infer(element, [tensor], outputs=[wanted("y", binary=False)])
        assert "data" in result.get_output("y"), element
        same(result.as_numpy("y"), array)


def test_json_in_and_binary_out_and_the_other_way():
    for binary in (True, False):
        tensor = given("x", "FP32", X, binary=binary)
        same(infer("float32", [tensor], outputs=[wanted("y", not binary)]).as_numpy("y"), X)


def test_fp16_in_json_is_refused():
    tensor = given("x", "FP16", X.astype(np.float16))
    with raises(InferenceServerException, "ask for binary data"):
        infer("float16", [tensor], outputs=[wanted("y", binary=False)])


def test_bf16_is_refused():
    with raises(InferenceServerException, "BF16 is not served"):
        infer("float32", [given("x", "BF16", X.astype(bfloat16))])


def test_bytes_that_are_no_text_are_refused():
    for value, says in ((b"\xc3\x28", "UTF-8"), (b"a\0b", "NUL")):
        array = np.array([[value, b"x"]], object)
        with raises(InferenceServerException, says):
            infer("string", [given("x", "BYTES", array)])


def test_no_rows():
    empty = np.zeros((0, 2), np.float32)
    assert infer("float32", [given("x", "FP32", empty)]).as_numpy("y").shape == (0, 2)


def test_compression_both_ways():
    array = np.arange(4000, dtype=np.float32).reshape(2000, 2)
    for asked in ("gzip", "deflate", None):
        for answered in ("gzip", "deflate", None):
            result = infer(
                "float32",
                [given("x", "FP32", array)],
                request_compression_algorithm=asked,
                response_compression_algorithm=answered,
            )
            same(result.as_numpy("y"), array)


def test_request_id_chosen_outputs_and_parameters():
    tensors = [given(name, "FP32", np.ones((1, 3), np.float32)) for name in "ab"]
    result = infer(
        "multi",
        tensors,
        outputs=[wanted("dot")],
        request_id="my-id",
        priority=3,
        timeout=5_000_000,
        parameters={"colour": "red", "n": 1},
    )
    response = result.get_response()
    assert response["id"] == "my-id"
    assert [output["name"] for output in response["outputs"]] == ["dot"]
    assert result.as_numpy("dot").tolist() == [3.0]
    assert result.as_numpy("sum") is None


def test_versions_by_number_stage_and_alias():
    for at, version in (("", "1"), ("1", "1"), ("2", "2"), ("Staging", "2"), ("blue", "3")):
        result = infer("fleet", [given("x", "FP32", X)], model_version=at)
        assert result.get_response()["model_version"] == version, at


def test_sequences_are_refused():
    with raises(InferenceServerException, "sequences are not served"):
        infer("float32", [given("x", "FP32", X)], sequence_id=7, sequence_start=True)


def test_many_requests_at_once():
    many = triton.InferenceServerClient(HOST, concurrency=4)
    calls = [many.async_infer("float32", [given("x", "FP32", X)], headers=authorized()) for _ in range(50)]
    for call in calls:
        same(call.get_result().as_numpy("y"), X)
    many.close()


def test_classification():
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32)
    for binary in (True, False):
        output = wanted("output_probability", binary=binary, classes=2)
        texts = infer("iris", [given("X", "FP32", rows)], outputs=[output]).as_numpy(
            "output_probability"
        )
        assert texts.shape == (2, 2)
        best = [text.decode() if isinstance(text, bytes) else text for text in texts[:, 0]]
        value, index, label = best[0].split(":")
        assert (float(value) > 0.5, index, label) == (True, "0", "0"), best
        assert best[1].split(":")[1] == "2", best


def test_health_and_metadata():
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("iris", headers=authorized())
    assert client.is_model_ready("fleet", "blue", headers=authorized())
    assert not client.is_model_ready("nobody", headers=authorized())
    server = client.get_server_metadata(headers=authorized())
    assert server["name"] == "relais" and "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("iris", headers=authorized())
    assert model["platform"] == "onnxruntime_onnx" and model["versions"] == ["1"]
    assert model["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}]
    config = client.get_model_config("iris", "1", headers=authorized())
    assert config["max_batch_size"] >= 1 and config["input"][0]["dims"] == [4]


def test_statistics_equal_the_requests():
    def count():
        (stats,) = client.get_inference_statistics("counted", headers=authorized())["model_stats"]
        return stats["inference_stats"]["success"]["count"], stats["inference_count"]

    before = count()
    for _ in range(3):
        infer("counted", [given("x", "FP32", X)])
    after = count()
    assert (after[0] - before[0], after[1] - before[1]) == (3, 6), (before, after)
    everything = client.get_inference_statistics(headers=authorized())["model_stats"]
    assert len(everything) > 10


def test_repository():
    def states():
        index = client.get_model_repository_index(headers=authorized())
        return {row["version"]: row["state"] for row in index if row["name"] == "fleet"}

    assert states() == {"1": "READY", "2": "READY", "3": "READY"}, states()
    client.load_model("fleet", headers=authorized())
    with raises(InferenceServerException, "serves Production"):
        client.unload_model("fleet", headers=authorized())
    with raises(InferenceServerException, "config is not taken"):
        client.load_model("fleet", headers=authorized(), config="{}")
    with raises(InferenceServerException, "is not taken"):
        client.load_model("fleet", headers=authorized(), config="{}", files={"file:1/model.onnx": b"x"})
    client.unload_model("staged", headers=authorized())
    assert not client.is_model_ready("staged", "1", headers=authorized())
    client.load_model("staged", headers=authorized())
    assert client.is_model_ready("staged", "1", headers=authorized())


def test_faults_reach_the_caller():
    tensor = given("x", "FP32", X)
    for call, says in (
        (lambda: infer("nobody", [tensor]), "No model is named"),
        (lambda: infer("iris", [tensor], model_version="9"), "version=9) not found"),
        (lambda: infer("float32", [given("x", "FP32", X.reshape(4, 1))]), "expected shape"),
        (lambda: infer("float32", [given("x", "INT32", X.astype(np.int32))]), "expected float32"),
        (lambda: infer("float32", [given("x", "FP32", X * np.nan)]), "finite"),
        (lambda: infer("float32", [tensor], outputs=[wanted("z")]), "no output"),
        (lambda: client.infer("float32", [tensor]), "Authorization"),
        (lambda: client.get_server_metadata(), "Authorization"),
    ):
        with raises(InferenceServerException, says):
            call()


if __name__ == "__main__":
    run(sys.modules[__name__])
