"""Runs: create, get, update, terminate, tags, delete, restore, parents."""

from mlflow.entities import RunTag

from steps.recorder import NO_RUN


def run(do):
    home = do("experiment", "create_experiment", "runs")
    one = do("create", "create_run", home, start_time=1000, tags={"a": "1"}, run_name="first")
    one = one.info.run_id
    do("get", "get_run", one)
    do("create without a name", "create_run", home, start_time=1001)
    do("create with name in a tag", "create_run", home, 1002, {"mlflow.runName": "tagged name"})
    do("create with equal names", "create_run", home, 1003, {"mlflow.runName": "n"}, "n")
    do("create with two names", "create_run", home, 1004, {"mlflow.runName": "n"}, "m")
    do("create with a user", "create_run", home, 1005, {"mlflow.user": "ann"}, "with user")
    do("create, empty name", "create_run", home, 1006, run_name="")
    do("create, name of 250", "create_run", home, 1007, run_name="r" * 250)
    do("create, name of 251", "create_run", home, 1008, run_name="r" * 251)
    do("create, unknown experiment", "create_run", "424242")
    do("create, experiment no number", "create_run", "seven")
    do("create, start no number", "create_run", home, start_time="noon")
    do("create, bad tag", "create_run", home, 1009, {"a?": "1"}, "bad tag")
    do("get, unknown", "get_run", NO_RUN)
    do("get, no id", "get_run", "no such run!")
    do("get, empty", "get_run", "")
    updating(do, home)
    tags(do, home)
    deleting(do, home)
    do("parent", "get_parent_run", one)
    child = do("child", "create_run", home, 1010, {"mlflow.parentRunId": one}, "child")
    do("parent of the child", "get_parent_run", child.info.run_id)
    do("parent, unknown run", "get_parent_run", NO_RUN)


def updating(do, home):
    one = do("create for updating", "create_run", home, start_time=1020, run_name="u").info.run_id
    do("update name", "update_run", one, name="renamed")
    do("update status", "update_run", one, "SCHEDULED")
    do("updated", "get_run", one)
    do("update nothing", "update_run", one)
    do("update status, unknown word", "update_run", one, "DANCING")
    do("update, empty name", "update_run", one, name="")
    do("after the empty name", lambda: do.client.get_run(one).info.run_name)
    do("update, unknown", "update_run", NO_RUN, "FINISHED")
    do("terminate", "set_terminated", one, end_time=2000)
    do("terminated", "get_run", one)
    do("terminate as failed", "set_terminated", one, "FAILED", 2001)
    do("terminate as killed", "set_terminated", one, "KILLED", 2002)
    do("terminated again", "get_run", one)
    do("back to running", "update_run", one, "RUNNING")
    do("running again", "get_run", one)
    do("terminate, unknown word", "set_terminated", one, "DANCING")
    do("terminate, unknown", "set_terminated", NO_RUN)


def tags(do, home):
    one = do("create for tags", "create_run", home, start_time=1030, run_name="t").info.run_id
    do("tag", "set_tag", one, "stage", "draft")
    do("tag again", "set_tag", one, "stage", "final")
    do("tag with a number", "set_tag", one, "rows", 150)
    do("tag renames", "set_tag", one, "mlflow.runName", "named by tag")
    do("tag sets the note", "set_tag", one, "mlflow.note.content", "a *note*")
    do("tagged", "get_run", one)
    do("tag, key of 250", "set_tag", one, "k" * 250, "v")
    do("tag, key of 251", "set_tag", one, "k" * 251, "v")
    do("tag, value of 8000", "set_tag", one, "long", "v" * 8000)
    do("tag, value of 8001", "set_tag", one, "long", "v" * 8001)
    do("length of the long value", lambda: len(do.client.get_run(one).data.tags["long"]))
    for what, key in {
        "empty": "",
        "with a question mark": "a?b",
        "that climbs": "../b",
        "absolute": "/b",
        "of a point": ".",
        "doubled slash": "a//b",
        "with colon, space, dash, slash": "a: b-c/d_e.f",
        "beyond ASCII": "Größe",
    }.items():
        do(f"tag, key {what}", "set_tag", one, key, "v")
    do("tag, unknown run", "set_tag", NO_RUN, "a", "b")
    do("tag renames to nothing", "set_tag", one, "mlflow.runName", "")
    do("delete tag", "delete_tag", one, "stage")
    do("delete tag again", "delete_tag", one, "stage")
    do("delete tag, unknown run", "delete_tag", NO_RUN, "stage")
    do("tags left", lambda: sorted(do.client.get_run(one).data.tags))
    do("many tags at once", "log_batch", one, tags=[RunTag(f"t{i}", str(i)) for i in range(100)])


def deleting(do, home):
    one = do("create for deleting", "create_run", home, start_time=1040, run_name="d").info.run_id
    do("delete", "delete_run", one)
    do("deleted", "get_run", one)
    do("delete again", "delete_run", one)
    do("metric of deleted", "log_metric", one, "m", 1.0, 1)
    do("param of deleted", "log_param", one, "p", 1)
    do("tag of deleted", "set_tag", one, "t", 1)
    do("delete tag of deleted", "delete_tag", one, "t")
    do("batch of deleted", "log_batch", one, tags=[RunTag("a", "b")])
    do("update deleted", "update_run", one, "FINISHED")
    do("restore", "restore_run", one)
    do("restored", "get_run", one)
    do("restore again", "restore_run", one)
    do("delete, unknown", "delete_run", NO_RUN)
    do("restore, unknown", "restore_run", NO_RUN)
