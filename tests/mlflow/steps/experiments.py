"""Experiments: create, get, search by view, rename, tags, delete, restore."""

from mlflow.entities import ViewType


def run(do):
    do("the default one", "get_experiment", "0")
    one = do("create", "create_experiment", "fraud")
    do("get", "get_experiment", one)
    do("get by name", "get_experiment_by_name", "fraud")
    do("create again", "create_experiment", "fraud")
    do("create with tags", "create_experiment", "tagged", tags={"team": "risk", "n": 1})
    do("tags of it", "get_experiment_by_name", "tagged")
    do("create at a place", "create_experiment", "placed", "mlflow-artifacts:/elsewhere/placed")
    do("place of it", "get_experiment_by_name", "placed")
    for what, name in {
        "without name": None,
        "empty name": "",
        "number for a name": 7,
        "500 characters": "x" * 500,
        "501 characters": "x" * 501,
        "name of spaces": "   ",
        "name with slashes and dots": "a/b/../c: d",
        "name beyond ASCII": "Versuch Ärger 実験 🚲",
    }.items():
        do(f"create, {what}", "create_experiment", name)
    do("create at a run's place", "create_experiment", "p1", "runs:/abc/x")
    do("create at a place with a query", "create_experiment", "p2", "mlflow-artifacts:/a?b=c")
    do("create at a place with a fragment", "create_experiment", "p3", "mlflow-artifacts:/a#b")
    do("create at a place that climbs", "create_experiment", "p4", "mlflow-artifacts:/a/../../b")
    do("create at a place too long", "create_experiment", "p5", "mlflow-artifacts:/" + "a" * 2048)
    getting(do)
    renaming(do)
    tags(do, one)
    deleting(do)


def getting(do):
    do("get, unknown", "get_experiment", "424242")
    do("get, no number", "get_experiment", "seven")
    do("get, empty", "get_experiment", "")
    do("get, 64 characters", "get_experiment", "7" * 64)
    do("get, 65 characters", "get_experiment", "7" * 65)
    do("get by name, unknown", "get_experiment_by_name", "nobody")
    do("get by name, empty", "get_experiment_by_name", "")
    do("get by name, other case", "get_experiment_by_name", "FRAUD")


def renaming(do):
    two = do("create for renaming", "create_experiment", "second")
    do("rename", "rename_experiment", two, "third")
    do("renamed", "get_experiment", two)
    do("old name", "get_experiment_by_name", "second")
    do("rename to its own name", "rename_experiment", two, "third")
    do("rename to a taken name", "rename_experiment", two, "fraud")
    do("rename to nothing", "rename_experiment", two, "")
    do("rename to 501 characters", "rename_experiment", two, "y" * 501)
    do("rename, unknown", "rename_experiment", "424242", "fourth")


def tags(do, one):
    do("tag", "set_experiment_tag", one, "owner", "ann")
    do("tag again", "set_experiment_tag", one, "owner", "bob")
    do("tag with a number", "set_experiment_tag", one, "rows", 150)
    do("tag with nothing", "set_experiment_tag", one, "empty", "")
    do("tagged", "get_experiment", one)
    do("tag, key of 250", "set_experiment_tag", one, "k" * 250, "v")
    do("tag, key of 251", "set_experiment_tag", one, "k" * 251, "v")
    do("tag, value of 5000", "set_experiment_tag", one, "long", "v" * 5000)
    do("tag, value of 5001", "set_experiment_tag", one, "long", "v" * 5001)
    do("tag, no key", "set_experiment_tag", one, None, "v")
    do("tag, empty key", "set_experiment_tag", one, "", "v")
    do("tag, bad key", "set_experiment_tag", one, "a?b", "v")
    do("tag, key that climbs", "set_experiment_tag", one, "../a", "v")
    do("tag, unknown experiment", "set_experiment_tag", "424242", "a", "b")
    do("delete tag", "delete_experiment_tag", one, "owner")
    do("delete tag again", "delete_experiment_tag", one, "owner")
    do("delete tag, unknown experiment", "delete_experiment_tag", "424242", "owner")
    do("tags left", lambda: sorted(do.client.get_experiment(one).tags))


def deleting(do):
    gone = do("create for deleting", "create_experiment", "gone")
    run = do("a run in it", "create_run", gone, start_time=1, run_name="r").info.run_id
    do("delete", "delete_experiment", gone)
    do("delete again", "delete_experiment", gone)
    do("deleted", "get_experiment", gone)
    do("deleted by name", "get_experiment_by_name", "gone")
    do("its run", "get_run", run)
    do("create with a deleted name", "create_experiment", "gone")
    do("rename deleted", "rename_experiment", gone, "gone-2")
    do("tag deleted", "set_experiment_tag", gone, "a", "b")
    do("delete tag of deleted", "delete_experiment_tag", gone, "a")
    do("run in deleted", "create_run", gone)
    do("seen when active", lambda: named(do, ViewType.ACTIVE_ONLY))
    do("seen when deleted", lambda: named(do, ViewType.DELETED_ONLY))
    do("seen in all", lambda: named(do, ViewType.ALL))
    do("restore", "restore_experiment", gone)
    do("restore again", "restore_experiment", gone)
    do("restored", "get_experiment", gone)
    do("its run, restored", "get_run", run)
    do("delete, unknown", "delete_experiment", "424242")
    do("restore, unknown", "restore_experiment", "424242")


def named(do, view):
    return sorted(one.name for one in do.client.search_experiments(view) if one.name == "gone")
