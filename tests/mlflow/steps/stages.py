"""Stages and aliases of versions, and the addresses that use them."""

import mlflow

from steps.sources import logged, register

NAME = "stages"


def run(do):
    do("model", "create_registered_model", NAME)
    source = logged(do, "staged")
    for _ in range(5):
        register(do, NAME, source)
    do("latest, all in None", "get_latest_versions", NAME)
    moving(do)
    archiving(do)
    latest(do)
    aliases(do)
    addresses(do)


def moving(do):
    do("to Staging", "transition_model_version_stage", NAME, "1", "Staging")
    do("to Staging again", "transition_model_version_stage", NAME, "1", "Staging")
    do("to Production", "transition_model_version_stage", NAME, "1", "Production")
    do("to Archived", "transition_model_version_stage", NAME, "1", "Archived")
    do("to None", "transition_model_version_stage", NAME, "1", "None")
    for word in ["staging", "PRODUCTION", "aRCHIVED", "none"]:
        do(f"to {word}", "transition_model_version_stage", NAME, "1", word)
    for word in ["Live", "", "Staging ", None]:
        do(f"to the stage {word!r}", "transition_model_version_stage", NAME, "1", word)
    do("unknown version", "transition_model_version_stage", NAME, "99", "Staging")
    do("version no number", "transition_model_version_stage", NAME, "one", "Staging")
    do("unknown model", "transition_model_version_stage", "nobody", "1", "Staging")


def archiving(do):
    for version in ["1", "2"]:
        do(
            f"{version} to Production",
            "transition_model_version_stage",
            NAME,
            version,
            "Production",
        )
    do("both are there", lambda: stages(do))
    do("3, archiving", "transition_model_version_stage", NAME, "3", "Production", True)
    do("they went", lambda: stages(do))
    do("3 again, archiving", "transition_model_version_stage", NAME, "3", "Production", True)
    do("it stayed", lambda: stages(do))
    do("2 to Staging, archiving", "transition_model_version_stage", NAME, "2", "Staging", True)
    do("4 to Archived, archiving", "transition_model_version_stage", NAME, "4", "Archived", True)
    do("5 to None, archiving", "transition_model_version_stage", NAME, "5", "None", True)
    do("stages at last", lambda: stages(do))


def stages(do):
    versions = do.client.search_model_versions(f"name = '{NAME}'")
    return {version.version: version.current_stage for version in versions}


def latest(do):
    do("latest", lambda: numbers(do.client.get_latest_versions(NAME)))
    do("latest in Production", "get_latest_versions", NAME, ["Production"])
    do(
        "latest in two",
        lambda: numbers(do.client.get_latest_versions(NAME, ["Production", "Staging"])),
    )
    do("latest, other case", lambda: numbers(do.client.get_latest_versions(NAME, ["production"])))
    do("latest in no stage", "get_latest_versions", NAME, ["Live"])
    do("latest, unknown model", "get_latest_versions", "nobody")
    do("latest in the model", lambda: numbers(do.client.get_registered_model(NAME).latest_versions))


def numbers(versions):
    return sorted((version.current_stage, version.version) for version in versions)


def aliases(do):
    do("alias", "set_registered_model_alias", NAME, "best", "1")
    do("alias moves", "set_registered_model_alias", NAME, "best", "2")
    do("a second one", "set_registered_model_alias", NAME, "quick", "2")
    do("by alias", "get_model_version_by_alias", NAME, "best")
    do("aliases of the version", lambda: sorted(do.client.get_model_version(NAME, "2").aliases))
    do("aliases of the model", lambda: do.client.get_registered_model(NAME).aliases)
    for what, alias in {
        "latest": "latest",
        "Latest": "Latest",
        "a version": "v1",
        "a version in capitals": "V23",
        "almost a version": "v1a",
        "empty": "",
        "with a space": "a b",
        "with a point": "a.b",
        "of 255": "a" * 255,
        "of 256": "a" * 256,
        "beyond ASCII": "größe",
        "a number": "12",
        "a stage": "Production",
    }.items():
        do(f"alias {what}", "set_registered_model_alias", NAME, alias, "1")
    do("alias, unknown version", "set_registered_model_alias", NAME, "best", "99")
    do("alias, version no number", "set_registered_model_alias", NAME, "best", "one")
    do("alias, unknown model", "set_registered_model_alias", "nobody", "best", "1")
    do("by alias, other case", "get_model_version_by_alias", NAME, "BEST")
    do("by alias latest", "get_model_version_by_alias", NAME, "latest")
    do("by alias, unknown", "get_model_version_by_alias", NAME, "nothing")
    do("by alias, empty", "get_model_version_by_alias", NAME, "")
    do("by alias, unknown model", "get_model_version_by_alias", "nobody", "best")
    do("delete alias", "delete_registered_model_alias", NAME, "quick")
    do("delete alias again", "delete_registered_model_alias", NAME, "quick")
    do("delete alias, unknown model", "delete_registered_model_alias", "nobody", "best")
    do("after that", "get_model_version_by_alias", NAME, "quick")


def addresses(do):
    for what, uri in {
        "stage": f"models:/{NAME}/Production",
        "stage in capitals": f"models:/{NAME}/PRODUCTION",
        "empty stage": "models:/copies/Production",
        "alias": f"models:/{NAME}@best",
        "unknown alias": f"models:/{NAME}@nothing",
        "latest": f"models:/{NAME}/latest",
        "number": f"models:/{NAME}/2",
    }.items():
        do(f"model info by {what}", lambda uri=uri: mlflow.models.get_model_info(uri).flavors)
