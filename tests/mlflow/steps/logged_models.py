"""Logged models: create, params, tags, metrics, finalize, files, delete."""

from steps.recorder import NO_MODEL, NO_RUN, RANDOM_NAME


def run(do):
    home = do("experiment", "create_experiment", "logged models")
    one = do("run", "create_run", home, start_time=1000, run_name="lm").info.run_id
    made = do("create", "create_logged_model", home, "net", one, {"a": "1"}, {"p": "1"}, "dnn")
    model = made.model_id
    do("get", "get_logged_model", model)
    do("create with nothing", "create_logged_model", home)
    do("create with the same name", "create_logged_model", home, "net")
    for what, name in {
        "empty name": "",
        "with a slash": "a/b",
        "with a colon": "a:b",
        "with a point": "a.b",
        "with a quote": "it's",
        "with a percent sign": "50%",
        "of 255": "n" * 255,
        "of 256": "n" * 256,
        "of 257": "n" * 257,
        "beyond ASCII": "Größe",
        "of a space": " ",
    }.items():
        do(f"create, name {what}", "create_logged_model", home, name)
    do("create, unknown experiment", "create_logged_model", "424242", "net")
    do("create, unknown run", "create_logged_model", home, "net", NO_RUN)
    do("create, 101 params", "create_logged_model", home, "m", params=numbered(101))
    do("create, bad param key", "create_logged_model", home, "m", params={"a?": "1"})
    do("create, bad tag key", "create_logged_model", home, "m", tags={"a?": "1"})
    do("get, unknown", "get_logged_model", NO_MODEL)
    do("get, no id", "get_logged_model", "seven")
    params_and_tags(do, model)
    metrics(do, model, one)
    finalizing(do, home)
    files(do, model)
    deleting(do, home, one)


def numbered(count):
    return {f"p{at:03}": str(at) for at in range(count)}


def params_and_tags(do, model):
    do("params", "log_model_params", model, {"q": "2", "r": "3"})
    do("params, same again", "log_model_params", model, {"q": "2"})
    do("params, another value", "log_model_params", model, {"q": "7"})
    do("params, none", "log_model_params", model, {})
    do("params, 250", "log_model_params", model, numbered(250))
    do("params, value of 6000", "log_model_params", model, {"long": "v" * 6000})
    do("params, value of 6001", "log_model_params", model, {"longer": "v" * 6001})
    do("params, unknown model", "log_model_params", NO_MODEL, {"a": "1"})
    do("params counted", lambda: len(do.client.get_logged_model(model).params))
    do("tags", "set_logged_model_tags", model, {"owner": "ann", "rows": 150})
    do("tags again", "set_logged_model_tags", model, {"owner": "bob"})
    do("tags, none", "set_logged_model_tags", model, {})
    do("tags, unknown model", "set_logged_model_tags", NO_MODEL, {"a": "1"})
    do("tags now", lambda: do.client.get_logged_model(model).tags)
    do("delete tag", "delete_logged_model_tag", model, "owner")
    do("delete tag again", "delete_logged_model_tag", model, "owner")
    do("delete tag, unknown model", "delete_logged_model_tag", NO_MODEL, "owner")
    do("tags left", lambda: do.client.get_logged_model(model).tags)


def metrics(do, model, one):
    do("metric", "log_metric", one, "acc", 0.9, 10, 0, model_id=model)
    do("metric on data", "log_metric", one, "acc", 0.8, 11, 1, None, "iris", "abc", model)
    do("metric, unknown model", "log_metric", one, "acc", 0.8, 12, 2, model_id=NO_MODEL)
    do("metrics now", lambda: do.client.get_logged_model(model).metrics)


def finalizing(do, home):
    good = do("create for ready", "create_logged_model", home, "good").model_id
    bad = do("create for failed", "create_logged_model", home, "bad").model_id
    do("finalize", "finalize_logged_model", good, "READY")
    do("finalize again", "finalize_logged_model", good, "READY")
    do("finalized", "get_logged_model", good)
    do("finalize as failed", "finalize_logged_model", bad, "FAILED")
    do("failed", "get_logged_model", bad)
    do("finalize, unknown word", "finalize_logged_model", good, "DANCING")
    do("finalize, unknown", "finalize_logged_model", NO_MODEL, "READY")


def files(do, model):
    place = do.folder / "logged"
    (place / "sub").mkdir(parents=True)
    (place / "MLmodel").write_text("flavors: {}\n")
    (place / "sub/data.bin").write_bytes(bytes(range(256)))
    (do.folder / "single.txt").write_text("alone")
    do("files, none yet", "list_logged_model_artifacts", model)
    do("upload a folder", "log_model_artifacts", model, str(place))
    do("upload one", "log_model_artifact", model, str(do.folder / "single.txt"))
    do("upload below", "log_model_artifact", model, str(do.folder / "single.txt"), "deep/er")
    do("files", "list_logged_model_artifacts", model)
    do("files below", "list_logged_model_artifacts", model, "sub")
    do("files below nothing", "list_logged_model_artifacts", model, "nothing")
    do("files, unknown model", "list_logged_model_artifacts", NO_MODEL)
    do("upload, unknown model", "log_model_artifacts", NO_MODEL, str(place))


def deleting(do, home, one):
    gone = do("create for deleting", "create_logged_model", home, "gone", one).model_id
    do("delete", "delete_logged_model", gone)
    do("deleted", "get_logged_model", gone)
    do("delete again", "delete_logged_model", gone)
    do("tag deleted", "set_logged_model_tags", gone, {"a": "1"})
    do("finalize deleted", "finalize_logged_model", gone, "READY")
    do("delete, unknown", "delete_logged_model", NO_MODEL)
    found = do.client.search_logged_models([home])
    do("seen", lambda: sorted(one.name for one in found if not RANDOM_NAME.match(one.name)))
