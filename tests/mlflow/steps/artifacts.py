"""Artifacts of runs: upload in every form, list, download."""

import hashlib
import io
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import artifacts

from steps.recorder import NO_RUN


def digest(path):
    """What was downloaded: a file's hash, or a folder's files with theirs."""
    path = Path(path)
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return {str(p.relative_to(path)): digest(p) for p in sorted(path.rglob("*")) if p.is_file()}


def run(do):
    home = do("experiment", "create_experiment", "artifacts")
    one = do("run", "create_run", home, start_time=1000, run_name="a").info.run_id
    place = do.folder / "upload"
    (place / "sub").mkdir(parents=True)
    (place / "a.txt").write_text("one")
    (place / "empty.txt").write_text("")
    (place / "sub/Größe & 100%.bin").write_bytes(bytes(range(256)) * 5000)
    do("files, none yet", "list_artifacts", one)
    do("upload", "log_artifact", one, str(place / "a.txt"))
    do("upload below", "log_artifact", one, str(place / "a.txt"), "deep/er")
    do("upload an empty one", "log_artifact", one, str(place / "empty.txt"))
    do("upload a folder", "log_artifacts", one, str(place), "all")
    do("upload a folder at the top", "log_artifacts", one, str(place / "sub"))
    do("upload what is not there", "log_artifact", one, str(do.folder / "nothing.txt"))
    do("upload to a place that climbs", "log_artifact", one, str(place / "a.txt"), "../..")
    do("upload, unknown run", "log_artifact", NO_RUN, str(place / "a.txt"))
    made(do, one)
    listing(do, one)
    downloading(do, one)
    do("overwrite", "log_text", one, "two", "a.txt")
    do("overwritten", lambda: artifacts.load_text(f"runs:/{one}/a.txt"))
    do("delete run", "delete_run", one)
    do("files of a deleted run", lambda: len(do.client.list_artifacts(one)))


def made(do, one):
    do("text", "log_text", one, "Grüße\n", "texts/hello.txt")
    do("dictionary", "log_dict", one, {"a": [1, 2], "b": None}, "conf/a.json")
    do("dictionary as YAML", "log_dict", one, {"a": [1, 2]}, "conf/a.yaml")
    do("stream", "log_stream", one, io.BytesIO(b"x" * 100_000), "streams/x.bin")
    do("table", "log_table", one, {"q": ["a", "b"], "n": [1, 2]}, "tables/t.json")
    do("table, more rows", "log_table", one, pd.DataFrame({"q": ["c"], "n": [3]}), "tables/t.json")
    home = do.client.get_run(one).info.experiment_id
    rows = do("load table", "load_table", home, "tables/t.json", [one])
    do("rows of it", lambda: rows.to_dict("list"))
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    do("image", "log_image", one, picture, "images/black.png")
    do("figure", log_figure, do, one)


def log_figure(do, one):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    do.called.add("log_figure")
    figure, _ = plt.subplots(figsize=(1, 1))
    do.client.log_figure(one, figure, "images/plot.png")


def listing(do, one):
    do("files", "list_artifacts", one)
    do("files below", "list_artifacts", one, "all")
    do("files further below", "list_artifacts", one, "all/sub")
    do("files of a file", "list_artifacts", one, "a.txt")
    do("files of nothing", "list_artifacts", one, "nothing")
    do("files that climb", "list_artifacts", one, "../..")
    do("files, unknown run", "list_artifacts", NO_RUN)
    uri = do.client.get_run(one).info.artifact_uri
    do("files by address", artifacts.list_artifacts, f"{uri}/all")
    do("files by run address", artifacts.list_artifacts, f"runs:/{one}/all")


def downloading(do, one):
    for what, path in {
        "a file": "a.txt",
        "an empty one": "empty.txt",
        "a folder": "all",
        "everything": "",
        "odd name": "all/sub/Größe & 100%.bin",
        "nothing": "nothing",
        "what climbs": "../x",
    }.items():
        target = do.folder / "down" / (what.replace(" ", "-"))
        target.mkdir(parents=True)
        got = do(f"download {what}", "download_artifacts", one, path, str(target))
        if got is not None:
            do(f"downloaded {what}", digest, got)
    do("download, unknown run", "download_artifacts", NO_RUN, "a.txt")
    do("load text", artifacts.load_text, f"runs:/{one}/texts/hello.txt")
    do("load dictionary", artifacts.load_dict, f"runs:/{one}/conf/a.json")
    do("load nothing", artifacts.load_text, f"runs:/{one}/nothing.txt")
    target = mlflow.artifacts.download_artifacts(f"runs:/{one}/conf", dst_path=str(do.folder))
    do("by address", digest, target)
