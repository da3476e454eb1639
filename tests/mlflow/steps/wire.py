"""Requests as other clients write them: missing and odd fields, methods, the second prefix."""

from steps.sources import run_with_model

API = "/api/2.0/mlflow"


def run(do):
    home = do.client.create_experiment("wire")
    run = run_with_model(do, "wire")
    general(do, home)
    tracking(do, home, run)
    registry(do, run)
    files(do, run)


def general(do, home):
    do.http("the other prefix", "GET", f"/ajax-api/2.0/mlflow/experiments/get?experiment_id={home}")
    do.http("no such call", "GET", f"{API}/experiments/paint")
    do.http("body no JSON", "POST", f"{API}/experiments/create", data=b"{", headers=JSON)
    do.http("body a list", "POST", f"{API}/experiments/create", [1])
    do.http("body empty", "POST", f"{API}/experiments/search", data=b"", headers=JSON)
    do.http("body of another type", "POST", f"{API}/experiments/create", data=b"a=1", headers=FORM)
    do.http(
        "unknown fields", "POST", f"{API}/experiments/create", {"name": "wire-2", "colour": "red"}
    )
    do.http("field of another type", "POST", f"{API}/experiments/create", {"name": 7})
    do.http("field that is null", "POST", f"{API}/experiments/create", {"name": None})


JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def tracking(do, home, run):
    made = {"experiment_id": home, "start_time": "1000", "run_name": "text for a number"}
    do.http("int64 as text", "POST", f"{API}/runs/create", made)
    do.http("int64 as a fraction", "POST", f"{API}/runs/create", {**made, "start_time": 1.5})
    do.http("int64 as a word", "POST", f"{API}/runs/create", {**made, "start_time": "noon"})
    do.http("run by its old name", "GET", f"{API}/runs/get?run_uuid={run}")
    metric = {"run_id": run, "timestamp": 1}
    for what, value in {
        "as text": "1.5",
        "NaN": "NaN",
        "Infinity": "Infinity",
        "-Infinity": "-Infinity",
        "a word": "much",
        "null": None,
        "true": True,
        "a list": [1],
    }.items():
        body = {**metric, "key": what if value in (True, None) else "m", "value": value}
        do.http(f"metric, {what}", "POST", f"{API}/runs/log-metric", body)
    do.http("metric left out", "POST", f"{API}/runs/log-metric", {**metric, "key": "m"})
    do.http(
        "time left out", "POST", f"{API}/runs/log-metric", {"run_id": run, "key": "m", "value": 1}
    )
    do.http("metrics now", "GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m")
    do.http(
        "a page of them",
        "GET",
        f"{API}/metrics/get-history?run_id={run}&metric_key=m&max_results=2",
    )
    do.http("run untold", "GET", f"{API}/runs/get")
    do.http(
        "param value left out", "POST", f"{API}/runs/log-parameter", {"run_id": run, "key": "p"}
    )
    do.http("status by number", "POST", f"{API}/runs/update", {"run_id": run, "status": 3})
    do.http("status unknown", "POST", f"{API}/runs/update", {"run_id": run, "status": "DANCING"})
    do.http(
        "view unknown",
        "POST",
        f"{API}/runs/search",
        {"experiment_ids": [home], "run_view_type": "SOME"},
    )
    do.http("ids no list", "POST", f"{API}/runs/search", {"experiment_ids": "0"})
    do.http("runs of nothing", "POST", f"{API}/runs/search", {})
    do.http(
        "experiments by GET", "GET", f"{API}/experiments/search?max_results=1&filter=name%3D'wire'"
    )
    do.http("experiments without a number", "POST", f"{API}/experiments/search", {})
    do.http("files by run", "GET", f"{API}/artifacts/list?run_id={run}")
    do.http("files by run, below", "GET", f"{API}/artifacts/list?run_id={run}&path=model")
    do.http("files by run, climbing", "GET", f"{API}/artifacts/list?run_id={run}&path=..%2F..")
    log = '{"run_id": "x", "artifact_path": "m", "utc_time_created": "t", "flavors": {}}'
    do.http("model of old", "POST", f"{API}/runs/log-model", {"run_id": run, "model_json": log})
    do.http(
        "model of old, no JSON", "POST", f"{API}/runs/log-model", {"run_id": run, "model_json": "{"}
    )


def registry(do, run):
    name = {"name": "wire"}
    do.http("model", "POST", f"{API}/registered-models/create", name)
    do.http("model again", "POST", f"{API}/registered-models/create", name)
    do.http("model of nothing", "POST", f"{API}/registered-models/create", {})
    source = {**name, "source": f"runs:/{run}/model", "run_id": run}
    do.http("version", "POST", f"{API}/model-versions/create", source)
    do.http("version without source", "POST", f"{API}/model-versions/create", name)
    one = {**name, "version": "1"}
    do.http("stage", "POST", f"{API}/model-versions/transition-stage", {**one, "stage": "staging"})
    archive = {**one, "stage": "Staging", "archive_existing_versions": "true"}
    do.http("boolean as text", "POST", f"{API}/model-versions/transition-stage", archive)
    do.http("stage left out", "POST", f"{API}/model-versions/transition-stage", one)
    do.http(
        "latest by GET",
        "GET",
        f"{API}/registered-models/get-latest-versions?name=wire&stages=Staging",
    )
    do.http("latest by POST", "POST", f"{API}/registered-models/get-latest-versions", name)
    do.http("tag", "POST", f"{API}/registered-models/set-tag", {**name, "key": "a"})
    do.http("alias", "POST", f"{API}/registered-models/alias", {**one, "alias": "best"})
    do.http("alias read", "GET", f"{API}/registered-models/alias?name=wire&alias=best")
    do.http(
        "alias of a word",
        "POST",
        f"{API}/registered-models/alias",
        {**name, "alias": "b", "version": "one"},
    )
    do.http("alias reserved", "POST", f"{API}/registered-models/alias", {**one, "alias": "latest"})
    do.http("alias of a space", "POST", f"{API}/registered-models/alias", {**one, "alias": "a b"})
    do.http("alias deleted", "DELETE", f"{API}/registered-models/alias", {**name, "alias": "best"})
    do.http(
        "renamed to nothing", "POST", f"{API}/registered-models/rename", {**name, "new_name": ""}
    )
    do.http(
        "models by GET", "GET", f"{API}/registered-models/search?filter=name%3D'wire'&max_results=1"
    )
    do.http("models by page of none", "GET", f"{API}/registered-models/search?max_results=0")
    do.http("versions by GET", "GET", f"{API}/model-versions/search?filter=name%3D'wire'")
    do.http("model described with nothing", "PATCH", f"{API}/registered-models/update", name)
    do.http("version described with nothing", "PATCH", f"{API}/model-versions/update", one)
    number = {**name, "version": 1, "key": "a"}
    do.http("version as a number", "POST", f"{API}/model-versions/set-tag", number)
    do.http("version deleted", "DELETE", f"{API}/model-versions/delete", one)
    do.http("model deleted", "DELETE", f"{API}/registered-models/delete", name)
    do.http("model deleted again", "DELETE", f"{API}/registered-models/delete", name)


def files(do, run):
    proxy = "/api/2.0/mlflow-artifacts/artifacts"
    place = f"{proxy}/0/{run}/artifacts"
    do.http("upload", "PUT", f"{place}/wire/a.txt", data=b"hello")
    do.http("download", "GET", f"{place}/wire/a.txt")
    do.http("files", "GET", f"{proxy}?path=0/{run}/artifacts/wire")
    do.http("files of a file", "GET", f"{proxy}?path=0/{run}/artifacts/wire/a.txt")
    do.http("files of nothing", "GET", f"{proxy}?path=0/{run}/artifacts/nothing")
    do.http("download nothing", "GET", f"{place}/wire/b.txt")
    for what, path in {
        "climbing": "%2e%2e/%2e%2e/x",
        "climbing, encoded twice": "%252e%252e/x",
        "with a backslash": "a%5C..%5Cx",
        "with a drive": "C:/x",
        "with a hash": "a%23b",
        "from the root": "%2Fetc/passwd",
    }.items():
        do.http(f"download {what}", "GET", f"{place}/{path}")
        do.http(f"upload {what}", "PUT", f"{place}/{path}", data=b"x")
    do.http("delete file", "DELETE", f"{place}/wire/a.txt")
    do.http("delete nothing", "DELETE", f"{place}/wire/a.txt")
    do.http("after that", "GET", f"{proxy}?path=0/{run}/artifacts/wire")
    part = {"path": "big.bin", "num_parts": 2}
    do.http("in parts", "POST", f"/api/2.0/mlflow-artifacts/mpu/create/0/{run}/artifacts", part)
    do.http(
        "by a signed address", "GET", f"/api/2.0/mlflow-artifacts/presigned/0/{run}/artifacts/a.txt"
    )
