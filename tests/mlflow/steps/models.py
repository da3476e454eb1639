"""Registered models: create, get, update, rename, tags, delete; names and their limits."""

from steps.sources import logged, register


def run(do):
    do("create", "create_registered_model", "churn", {"team": "risk"}, "Who leaves.")
    do("get", "get_registered_model", "churn")
    do("create again", "create_registered_model", "churn")
    do("create with nothing", "create_registered_model", "bare")
    do("bare", "get_registered_model", "bare")
    names(do)
    do("get, unknown", "get_registered_model", "nobody")
    do("get, empty", "get_registered_model", "")
    do("get, other case", "get_registered_model", "CHURN")
    updating(do)
    tags(do)
    renaming(do)
    deleting(do)


def names(do):
    for what, name in {
        "empty": "",
        "none": None,
        "of spaces": "  ",
        "with a slash": "a/b",
        "with a colon": "a:b",
        "that climbs": "..",
        "with points": "v1.2.3",
        "with spaces": "my model",
        "with a plus, percent, question mark": "a+b %20?c&d=e",
        "with quotes": 'it\'s "quoted"',
        "beyond ASCII": "Größe 実験",
        "of 255": "n" * 255,
        "of 257": "n" * 257,
    }.items():
        do(f"create, name {what}", "create_registered_model", name)
        if name and name.strip():
            do(f"get, name {what}", "get_registered_model", name)


def updating(do):
    do("describe", "update_registered_model", "churn", "Who stays.")
    do("described", lambda: do.client.get_registered_model("churn").description)
    do("describe with nothing", "update_registered_model", "churn", "")
    do("description of 5001", "update_registered_model", "churn", "d" * 5001)
    do("description of 5000", "update_registered_model", "churn", "d" * 5000)
    do("description left out", "update_registered_model", "churn")
    do("describe, unknown", "update_registered_model", "nobody", "x")


def tags(do):
    do("tag", "set_registered_model_tag", "churn", "owner", "ann")
    do("tag again", "set_registered_model_tag", "churn", "owner", "bob")
    do("tag with a number", "set_registered_model_tag", "churn", "rows", 150)
    do("tag with nothing", "set_registered_model_tag", "churn", "empty", "")
    do("tagged", lambda: do.client.get_registered_model("churn").tags)
    do("tag, key of 250", "set_registered_model_tag", "churn", "k" * 250, "v")
    do("tag, key of 251", "set_registered_model_tag", "churn", "k" * 251, "v")
    do("tag, value of 100000", "set_registered_model_tag", "churn", "long", "v" * 100_000)
    do("tag, value of 100001", "set_registered_model_tag", "churn", "long", "v" * 100_001)
    do("tag, bad key", "set_registered_model_tag", "churn", "a?b", "v")
    do("tag, empty key", "set_registered_model_tag", "churn", "", "v")
    do("tag, key that climbs", "set_registered_model_tag", "churn", "../b", "v")
    do("tag, unknown", "set_registered_model_tag", "nobody", "a", "b")
    do("delete tag", "delete_registered_model_tag", "churn", "owner")
    do("delete tag again", "delete_registered_model_tag", "churn", "owner")
    do("delete tag, unknown", "delete_registered_model_tag", "nobody", "owner")
    do("tags left", lambda: sorted(do.client.get_registered_model("churn").tags))


def renaming(do):
    source = logged(do, "to rename")
    do("create for renaming", "create_registered_model", "old", {"a": "1"}, "d")
    do("version for renaming", register, do, "old", source, tags={"b": "2"})
    do("alias for renaming", "set_registered_model_alias", "old", "best", "1")
    do("rename", "rename_registered_model", "old", "new")
    do("renamed", lambda: do.client.get_registered_model("new").tags)
    do("old name", "get_registered_model", "old")
    do("version under the new name", "get_model_version", "new", "1")
    do("alias under the new name", "get_model_version_by_alias", "new", "best")
    do("version under the old name", "get_model_version", "old", "1")
    do("rename to a taken name", "rename_registered_model", "new", "churn")
    do("rename to its own name", "rename_registered_model", "new", "new")
    do("rename to nothing", "rename_registered_model", "new", "")
    do("rename to a slash", "rename_registered_model", "new", "a/b")
    do("rename to spaces", "rename_registered_model", "new", "  ")
    do("rename, unknown", "rename_registered_model", "nobody", "somebody")
    do("create with the old name", "create_registered_model", "old")


def deleting(do):
    source = logged(do, "to delete")
    do("create for deleting", "create_registered_model", "gone", {"a": "1"})
    do("first version", register, do, "gone", source)
    do("second version", register, do, "gone", source)
    do("alias", "set_registered_model_alias", "gone", "best", "2")
    do("delete", "delete_registered_model", "gone")
    do("deleted", "get_registered_model", "gone")
    do("its version", "get_model_version", "gone", "1")
    do("its alias", "get_model_version_by_alias", "gone", "best")
    do("delete again", "delete_registered_model", "gone")
    do("delete, unknown", "delete_registered_model", "nobody")
    do("create again after that", "create_registered_model", "gone")
    do("nothing is left", lambda: do.client.get_registered_model("gone").tags)
    do("versions begin at 1", register, do, "gone", source)
    do("alias is left out", "get_model_version_by_alias", "gone", "best")
