"""Model versions: create from every source, get, describe, tags, copy, download, delete."""

import json

import mlflow

from steps.artifacts import digest
from steps.recorder import NO_MODEL, NO_RUN
from steps.sources import logged, register, run_with_model

NAME = "versions"


def run(do):
    do("model", "create_registered_model", NAME)
    creating(do)
    refused(do)
    reading(do)
    describing(do)
    tags(do)
    copying(do)
    downloading(do)
    deleting(do)


def creating(do):
    source = logged(do, "net")
    model = source.rsplit("/", 1)[1]
    run = run_with_model(do, "with model", tags={"mlflow.source.git.commit": "abc"})
    uri = do.client.get_run(run).info.artifact_uri
    before = do.client.get_registered_model(NAME).last_updated_timestamp
    do("from a logged model", "create_model_version", NAME, source, model_id=model)
    do(
        "model was touched",
        lambda: do.client.get_registered_model(NAME).last_updated_timestamp >= before,
    )
    do("from a run", "create_model_version", NAME, f"runs:/{run}/model", run)
    do("from an address", "create_model_version", NAME, f"{uri}/model", run)
    do(
        "with everything",
        "create_model_version",
        NAME,
        f"runs:/{run}/model",
        run,
        {"a": "1"},
        "http://x",
        "d",
    )
    do("from a logged model, with run", "create_model_version", NAME, source, run, model_id=model)
    do("tag on the logged model", registrations, do, model)
    do("from a version", "create_model_version", NAME, f"models:/{NAME}/1")
    do("register from a run", mlflow.register_model, f"runs:/{run}/model", "registered")
    do("register a logged model", mlflow.register_model, source, "registered", tags={"t": "1"})
    do("the model made for it", "get_registered_model", "registered")


def registrations(do, model):
    return json.loads(do.client.get_logged_model(model).tags["mlflow.modelVersions"])


def refused(do):
    """In a model of their own, so that what one server takes does not shift the other's numbers."""
    model = do.client.create_registered_model("refusals").name
    told = logged(do, "id untold")
    do("from a logged model, id untold", "create_model_version", model, told)
    run = run_with_model(do, "for refusals")
    source = f"runs:/{run}/model"
    do("create, unknown model", "create_model_version", "nobody", source, run)
    do("create, empty model", "create_model_version", "", source, run)
    do("create, empty source", "create_model_version", model, "")
    do("create, unknown logged model", "create_model_version", model, f"models:/{NO_MODEL}")
    do("create, unknown version", "create_model_version", model, f"models:/{NAME}/99")
    do("create, unknown model as source", "create_model_version", model, "models:/nobody/1")
    do("create, source no address", "create_model_version", model, "models:/")
    do("create, unknown run", "create_model_version", model, f"runs:/{NO_RUN}/model", NO_RUN)
    do("create, run no id", "create_model_version", model, source, "no such run!")
    do("create, of a run that is not told", "create_model_version", model, source)
    do("create, of another run", "create_model_version", model, source, NO_RUN)
    do("create, other model id", "create_model_version", model, source, run, model_id=NO_MODEL)
    do("create, no files there", "create_model_version", model, f"runs:/{run}/nothing", run)
    do("create, local path", "create_model_version", model, "/etc/passwd")
    do("create, local file", "create_model_version", model, "file:///etc/passwd")
    do("create, source that climbs", "create_model_version", model, "mlflow-artifacts:/0/../../etc")
    do(
        "create, encoded climb",
        "create_model_version",
        model,
        "mlflow-artifacts:/0/%2e%2e/%2e%2e/etc",
    )
    do("create, bad tag key", "create_model_version", model, source, run, tags={"a?": "1"})
    do(
        "create, description of 5001",
        "create_model_version",
        model,
        source,
        run,
        description="d" * 5001,
    )
    do("create, run link of 501", "create_model_version", model, source, run, run_link="l" * 501)


def reading(do):
    do("get", "get_model_version", NAME, "1")
    do("get by a number", "get_model_version", NAME, 1)
    do("get, unknown version", "get_model_version", NAME, "99")
    do("get, no number", "get_model_version", NAME, "one")
    do("get, negative", "get_model_version", NAME, "-1")
    do("get, too large", "get_model_version", NAME, str(2**70))
    do("get, empty", "get_model_version", NAME, "")
    do("get, unknown model", "get_model_version", "nobody", "1")
    do("stages there are", "get_model_version_stages", NAME, "1")
    do("address", "get_model_version_download_uri", NAME, "1")
    do("address of a version from a run", "get_model_version_download_uri", NAME, "2")
    do("address, unknown", "get_model_version_download_uri", NAME, "99")
    do("address, unknown model", "get_model_version_download_uri", "nobody", "1")


def describing(do):
    touched = do.client.get_registered_model(NAME).last_updated_timestamp
    do("describe", "update_model_version", NAME, "1", "First.")
    do("described", lambda: do.client.get_model_version(NAME, "1").description)
    do(
        "model untouched",
        lambda: do.client.get_registered_model(NAME).last_updated_timestamp == touched,
    )
    do("describe with nothing", "update_model_version", NAME, "1", "")
    do("description of 5001", "update_model_version", NAME, "1", "d" * 5001)
    do("description of 5000", "update_model_version", NAME, "1", "d" * 5000)
    do("description left out", "update_model_version", NAME, "1")
    do("describe, unknown", "update_model_version", NAME, "99", "x")


def tags(do):
    do("tag", "set_model_version_tag", NAME, "1", "owner", "ann")
    do("tag again", "set_model_version_tag", NAME, "1", "owner", "bob")
    do("tag with a number", "set_model_version_tag", NAME, "1", "rows", 150)
    do("tagged", lambda: do.client.get_model_version(NAME, "1").tags)
    do("tag by stage", "set_model_version_tag", NAME, key="by", value="stage", stage="None")
    do("tag, key of 250", "set_model_version_tag", NAME, "1", "k" * 250, "v")
    do("tag, key of 251", "set_model_version_tag", NAME, "1", "k" * 251, "v")
    do("tag, value of 100000", "set_model_version_tag", NAME, "1", "long", "v" * 100_000)
    do("tag, value of 100001", "set_model_version_tag", NAME, "1", "long", "v" * 100_001)
    do("tag, bad key", "set_model_version_tag", NAME, "1", "a?b", "v")
    do("tag, empty key", "set_model_version_tag", NAME, "1", "", "v")
    do("tag, unknown version", "set_model_version_tag", NAME, "99", "a", "b")
    do("tag, version no number", "set_model_version_tag", NAME, "one", "a", "b")
    do("delete tag", "delete_model_version_tag", NAME, "1", "owner")
    do("delete tag again", "delete_model_version_tag", NAME, "1", "owner")
    do("delete tag, unknown version", "delete_model_version_tag", NAME, "99", "owner")
    do("tags left", lambda: sorted(do.client.get_model_version(NAME, "1").tags))


def copying(do):
    do("copy", "copy_model_version", f"models:/{NAME}/1", "copies")
    do("copy again", "copy_model_version", f"models:/{NAME}/2", "copies")
    do("copied", "get_model_version", "copies", "1")
    do("copy of a copy", "copy_model_version", "models:/copies/1", "copies-2")
    do("copy to itself", "copy_model_version", f"models:/{NAME}/1", NAME)
    do("copy, unknown version", "copy_model_version", f"models:/{NAME}/99", "copies")
    do("copy, unknown model", "copy_model_version", "models:/nobody/1", "copies")
    do("copy, no address", "copy_model_version", "runs:/x/y", "copies")
    do("copy to a bad name", "copy_model_version", f"models:/{NAME}/1", "a/b")
    do(
        "versions of the copy",
        lambda: sorted(v.version for v in do.client.search_model_versions("name = 'copies'")),
    )


def downloading(do):
    for what, uri in {
        "a version": f"models:/{NAME}/1",
        "a version from a run": f"models:/{NAME}/2",
        "a copy": "models:/copies/1",
        "one file": f"models:/{NAME}/1/MLmodel",
        "the latest": f"models:/{NAME}/latest",
        "an unknown version": f"models:/{NAME}/99",
        "an unknown model": "models:/nobody/1",
    }.items():
        target = do.folder / "versions" / what.replace(" ", "-")
        target.mkdir(parents=True)
        got = do(f"download {what}", mlflow.artifacts.download_artifacts, uri, dst_path=str(target))
        if got is not None:
            do(f"downloaded {what}", digest, got)
    do("files", mlflow.artifacts.list_artifacts, f"models:/{NAME}/1")


def deleting(do):
    source = logged(do, "to delete again")
    made = do("create for deleting", register, do, NAME, source, description="d")
    number = made.version
    do("alias", "set_registered_model_alias", NAME, "doomed", number)
    do("stage", "transition_model_version_stage", NAME, number, "Staging")
    do("delete", "delete_model_version", NAME, number)
    do("deleted", "get_model_version", NAME, number)
    do("delete again", "delete_model_version", NAME, number)
    do("address of deleted", "get_model_version_download_uri", NAME, number)
    do("describe deleted", "update_model_version", NAME, number, "x")
    do("tag deleted", "set_model_version_tag", NAME, number, "a", "b")
    do("stage of deleted", "transition_model_version_stage", NAME, number, "Production")
    do("alias to deleted", "set_registered_model_alias", NAME, "late", number)
    do("its alias", "get_model_version_by_alias", NAME, "doomed")
    do("latest in its stage", "get_latest_versions", NAME, ["Staging"])
    do("number is not used again", lambda: register(do, NAME, source).version)
    do("delete, unknown", "delete_model_version", NAME, "99")
    do("delete, no number", "delete_model_version", NAME, "one")
    do("delete, unknown model", "delete_model_version", "nobody", "1")
