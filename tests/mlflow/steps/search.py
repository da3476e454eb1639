"""Search of each kind: filters, order, pages, and what is no filter."""

from mlflow.entities import Metric, Param, RunTag, ViewType

from steps.sources import logged, register

MODELS = "search-"


def run(do):
    experiments(do)
    home = seeded(do)
    runs(do, home)
    pages(do, home)
    logged_models(do)
    models(do)
    versions(do)


def experiments(do):
    for at in range(4):
        do.client.create_experiment(
            f"{MODELS}{at}", tags={"parity": "even" if at % 2 == 0 else "odd"}
        )
    ours = f"name LIKE '{MODELS}%'"
    for step, more in {
        "all": {},
        "by name": {"order_by": ["name DESC"]},
        "by id": {"order_by": ["experiment_id"]},
        "by time": {"order_by": ["creation_time ASC"]},
        "by update": {"order_by": ["last_update_time DESC"]},
        "unknown order": {"order_by": ["colour"]},
        "order no list": {"order_by": ["name SIDEWAYS"]},
        "a page": {"max_results": 2},
        "page of none": {"max_results": 0},
        "page too large": {"max_results": 50_001},
        "bad token": {"page_token": "???"},
    }.items():
        do(
            f"experiments, {step}",
            lambda more=more: named(do.client.search_experiments(filter_string=ours, **more)),
        )
    for words in [
        "name = 'search-1'",
        "name != 'search-1' AND name LIKE 'search-%'",
        "name LIKE 'SEARCH-%'",
        "name ILIKE 'SEARCH-%'",
        'attribute.name = "search-2"',
        "tags.parity = 'odd'",
        "tags.`parity` = 'odd' AND name LIKE 'search-%'",
        "tag.parity != 'odd'",
        "creation_time > 0 AND name = 'search-3'",
        "last_update_time < 5",
        "name = search-1",
        "name",
        "name = 'a' OR name = 'b'",
        "colour = 'red'",
        "name > 'a'",
        "creation_time = 'noon'",
        "tags.parity IS NULL AND name LIKE 'search-%'",
        "tags.other IS NULL AND name LIKE 'search-%'",
        "tags.parity IS NOT NULL",
        "(name = 'a')",
    ]:
        do(
            f"experiments where {words}",
            lambda words=words: named(do.client.search_experiments(filter_string=words)),
        )
    do("experiments", "search_experiments", ViewType.ACTIVE_ONLY, 3, "name LIKE 'search-%'")


def named(found):
    return {"names": [one.name for one in found], "more": bool(found.token)}


def seeded(do):
    home = do.client.create_experiment("search runs")
    for at in range(6):
        run = do.client.create_run(
            home, start_time=1000 + at, run_name=f"r{at}", tags={"mlflow.user": "ann"}
        )
        loss = float("nan") if at == 4 else at / 10
        metrics = [] if at == 5 else [Metric("loss", loss, 1, 0), Metric("my loss", at * 1.0, 1, 0)]
        params = [Param("depth", str(at % 3)), Param("kind of", "Tree" if at % 2 else "Net")]
        do.client.log_batch(run.info.run_id, metrics, params, [RunTag("odd", str(at % 2))])
        if at < 3:
            do.client.set_terminated(run.info.run_id, "FINISHED" if at else "FAILED", 2000 + at)
    gone = do.client.create_run(home, start_time=1100, run_name="gone").info.run_id
    do.client.delete_run(gone)
    return home


def runs(do, home):
    def found(words, **more):
        return [one.info.run_name for one in do.client.search_runs([home], words, **more)]

    for words in [
        "",
        "metrics.loss < 0.2",
        "metric.loss >= 0.1 AND params.depth = '1'",
        "metrics.`my loss` > 2",
        'metrics."my loss" != 2',
        "metrics.loss = 0.3",
        "metrics.nothing > 0",
        "params.depth != '1'",
        "param.depth LIKE '%'",
        "parameters.`kind of` = 'Tree'",
        "params.`kind of` LIKE 't%'",
        "params.`kind of` ILIKE 't%'",
        "tags.odd = '1'",
        "tag.odd != '1'",
        "tags.`mlflow.user` = 'ann'",
        "attributes.status = 'FINISHED'",
        "status != 'RUNNING'",
        "attr.run_name = 'r3'",
        "run_name LIKE 'r%'",
        "run.run_name ILIKE 'R%'",
        "start_time > 1002",
        "attributes.end_time <= 2001",
        "user_id = 'ann'",
        "artifact_uri LIKE 'mlflow-artifacts:%'",
        "run_id = 'nothing'",
        "run_id IN ('a', 'b')",
        "run_id NOT IN ('a', 'b')",
        "params.depth IS NULL",
        "params.nothing IS NULL",
        "tags.odd IS NOT NULL",
        "metrics.loss < '0.2'",
        "params.depth = 1",
        "tags.odd > '1'",
        "metrics.loss LIKE 'a'",
        "status > 'A'",
        "colour = 'red'",
        "metrics.loss < 0.2 OR metrics.loss > 0.3",
        "metrics.loss",
        "metrics.loss <",
        "'loss' = metrics.loss",
        "datasets.name = 'iris'",
        "params.depth = '1' AND",
        "params.depth = 'it''s'",
        "params.depth = 'x\" y'",
    ]:
        do(f"runs where {words or 'anything'}", found, words)
    for order in [
        ["metrics.loss"],
        ["metrics.loss DESC"],
        ["params.depth DESC", "start_time ASC"],
        ["tags.odd", "run_name DESC"],
        ["attributes.end_time"],
        ["end_time DESC"],
        ["status", "run_name"],
        ["metrics.`my loss` DESC"],
        ["colour"],
        ["metrics.loss SIDEWAYS"],
        ["start_time", "start_time"],
        ["metrics.loss", "metrics.loss"],
    ]:
        do(f"runs by {', '.join(order)}", found, "", order_by=order)
    for name, view in {"deleted": ViewType.DELETED_ONLY, "all": ViewType.ALL}.items():
        do(f"runs, {name}", found, "", run_view_type=view)


def pages(do, home):
    do("runs", "search_runs", [home], "run_name = 'r1'")
    do("runs of no experiment", "search_runs", [])
    do("runs of an unknown experiment", "search_runs", ["424242"])
    do("runs of an experiment no number", "search_runs", ["seven"])
    do("runs, page of none", "search_runs", [home], max_results=0)
    do("runs, page too large", "search_runs", [home], max_results=50_001)
    do("runs, negative page", "search_runs", [home], max_results=-1)
    do("runs, bad token", "search_runs", [home], page_token="???")

    def paged():
        token, told = None, []
        while token is not None or not told:
            page = do.client.search_runs(
                [home], order_by=["run_name"], max_results=2, page_token=token
            )
            told.append([one.info.run_name for one in page])
            token = page.token
        return told

    do("runs in pages", paged)


def logged_models(do):
    home = do.client.create_experiment("search logged models")
    run = do.client.create_run(home, start_time=1000, run_name="r").info.run_id
    for at in range(4):
        params, tags = {"depth": str(at)}, {"odd": str(at % 2)}
        model = do.client.create_logged_model(
            home, f"m{at}", run if at else None, tags, params, "dnn" if at else "tree"
        )
        do.client.log_metric(run, "acc", at / 10, 10, 0, None, "iris", "abc", model.model_id)
        if at < 2:
            do.client.finalize_logged_model(model.model_id, "READY" if at else "FAILED")

    def found(words=None, **more):
        return [one.name for one in do.client.search_logged_models([home], words, **more)]

    by_name = [{"field_name": "name"}]
    for words in [
        "name = 'm1'",
        "name LIKE 'm%'",
        "name ILIKE 'M%'",
        "model_type = 'dnn'",
        "status = 'READY'",
        "status != 'PENDING'",
        "params.depth = '2'",
        "tags.odd = '1'",
        "metrics.acc > 0.1",
        "name IN ('m1', 'm3')",
        "creation_timestamp > 0",
        "colour = 'red'",
        "name > 'a'",
        "params.depth > '1'",
        "name = 'm1' OR name = 'm2'",
    ]:
        do(f"logged models where {words}", found, words, order_by=by_name)
    for step, more in {
        "by name, down": {"order_by": [{"field_name": "name", "ascending": False}]},
        "by metric": {"order_by": [{"field_name": "metrics.acc", "ascending": False}]},
        "by metric on data": {
            "order_by": [
                {"field_name": "metrics.acc", "dataset_name": "iris", "dataset_digest": "abc"}
            ]
        },
        "by nothing known": {"order_by": [{"field_name": "colour"}]},
        "without a field": {"order_by": [{"ascending": True}]},
        "on a dataset": {"datasets": [{"dataset_name": "iris"}], "order_by": by_name},
        "on a dataset told by its digest": {
            "datasets": [{"dataset_name": "iris", "dataset_digest": "abc"}],
            "order_by": by_name,
        },
        "on another dataset": {"datasets": [{"dataset_name": "other"}], "order_by": by_name},
        "bad token": {"page_token": "???"},
    }.items():
        do(f"logged models {step}", found, **more)
    do("logged models", "search_logged_models", [home], max_results=1, order_by=by_name)
    do("logged models of no experiment", "search_logged_models", [])
    do("logged models of an unknown experiment", "search_logged_models", ["424242"])


def models(do):
    for at in range(4):
        do.client.create_registered_model(
            f"{MODELS}{at}", {"parity": "even" if at % 2 == 0 else "odd"}
        )

    def found(words=None, **more):
        return named(do.client.search_registered_models(words, **more))

    for words in [
        "name = 'search-1'",
        "name != 'search-1' AND name LIKE 'search-%'",
        "name LIKE 'SEARCH-%'",
        "name ILIKE 'SEARCH-%'",
        "attribute.name = 'search-2'",
        "tags.parity = 'odd'",
        "tag.parity != 'odd'",
        "tags.`parity` LIKE 'ev%'",
        "tags.nothing = 'x'",
        "name = search-1",
        "name",
        "name > 'a'",
        "colour = 'red'",
        "name = 'a' OR name = 'b'",
        "name LIKE 'search-%' AND tags.parity = 'even'",
    ]:
        do(f"models where {words}", found, words)
    ours = "name LIKE 'search-%'"
    for step, more in {
        "down": {"order_by": ["name DESC"]},
        "by time": {"order_by": ["timestamp ASC"]},
        "by update": {"order_by": ["last_updated_timestamp DESC"]},
        "by nothing known": {"order_by": ["colour"]},
        "by name twice": {"order_by": ["name", "name"]},
        "a page": {"max_results": 3},
        "page of none": {"max_results": 0},
        "page of 1000": {"max_results": 1000},
        "page of 1001": {"max_results": 1001},
        "bad token": {"page_token": "???"},
    }.items():
        do(f"models {step}", found, ours, **more)
    do("models", "search_registered_models", "name = 'search-1'")


def versions(do):
    source = logged(do, "searched")
    run = do.client.create_run("0", start_time=1000, run_name="searched").info.run_id
    for at in range(4):
        name = f"{MODELS}{at % 2}"
        register(do, name, source, run_id=run if at else None, tags={"odd": str(at % 2)})

    def found(words=None, **more):
        page = do.client.search_model_versions(words, **more)
        return {"versions": [(one.name, one.version) for one in page], "more": bool(page.token)}

    for words in [
        "name = 'search-1'",
        "name = 'nobody'",
        "name LIKE 'search-%'",
        "name ILIKE 'SEARCH-%'",
        "name != 'search-1' AND name LIKE 'search-%'",
        "run_id IN ()",
        "version_number > 1 AND name = 'search-1'",
        "version_number = '1'",
        "version_number = 1 AND name LIKE 'search-%'",
        "tags.odd = '1'",
        "tag.odd != '1' AND name LIKE 'search-%'",
        "source_path LIKE 'mlflow-artifacts:%' AND name = 'search-1'",
        "source_path LIKE 'models:%' AND name = 'search-1'",
        "name IN ('a')",
        "colour = 'red'",
        "name = 'a' OR name = 'b'",
        "name = 'search-1' AND",
        "version = '1'",
    ]:
        do(f"versions where {words}", found, words)
    do("versions of a run", found, f"run_id = '{run}'")
    do("versions of some runs", found, f"run_id IN ('{run}', 'b')")
    ours = "name LIKE 'search-%'"
    for step, more in {
        "as they come": {},
        "by name and number": {"order_by": ["name", "version_number"]},
        "by number, down": {"order_by": ["version_number DESC", "name"]},
        "by time": {"order_by": ["creation_timestamp"]},
        "by update": {"order_by": ["last_updated_timestamp DESC"]},
        "by nothing known": {"order_by": ["colour"]},
        "a page": {"max_results": 3},
        "page of none": {"max_results": 0},
        "page too large": {"max_results": 200_001},
        "bad token": {"page_token": "???"},
    }.items():
        do(f"versions {step}", found, ours, **more)
    do("versions", "search_model_versions", "name = 'search-1'", order_by=["version_number"])
