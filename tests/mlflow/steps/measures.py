"""What runs measure: metrics with their history, params, batches."""

from mlflow.entities import Metric, Param, RunTag

from steps.recorder import NO_RUN

INF = float("inf")
NAN = float("nan")


def run(do):
    home = do("experiment", "create_experiment", "measures")
    one = do("run", "create_run", home, start_time=1000, run_name="m").info.run_id
    metrics(do, one)
    history(do, one)
    params(do, one)
    batches(do, home)


def metrics(do, one):
    do("metric", "log_metric", one, "loss", 0.5, 10, 1)
    do("metric, next step", "log_metric", one, "loss", 0.25, 11, 2)
    do("metric, earlier step", "log_metric", one, "loss", 0.75, 12, 0)
    do("metric, same step, later", "log_metric", one, "loss", 0.2, 13, 2)
    do("metric, same step and time, greater", "log_metric", one, "loss", 0.3, 13, 2)
    do("metric, same step and time, less", "log_metric", one, "loss", 0.1, 13, 2)
    do("metric, the same again", "log_metric", one, "loss", 0.3, 13, 2)
    for what, value in {"NaN": NAN, "infinity": INF, "-infinity": -INF, "tiny": 5e-324}.items():
        do(f"metric, {what}", "log_metric", one, f"odd {what}", value, 20)
    do("metric, negative step", "log_metric", one, "early", 1.0, 20, -5)
    do("metric, big step", "log_metric", one, "late", 1.0, 20, 2**53 - 1)
    do("metric, step of 2^53", "log_metric", one, "too late", 1.0, 20, 2**53)
    do("metric, integer", "log_metric", one, "count", 3, 20)
    do("metric, boolean", "log_metric", one, "yes", True, 20)
    do("metric, text", "log_metric", one, "text", "much", 20)
    do("metric, text that is a number", "log_metric", one, "text2", "1.5", 20)
    do("metric, nothing", "log_metric", one, "none", None, 20)
    do("metric, time no number", "log_metric", one, "when", 1.0, "noon")
    do("metric, negative time", "log_metric", one, "when", 1.0, -1)
    do("metric, step no number", "log_metric", one, "step", 1.0, 1, "two")
    do("metric with a dataset", "log_metric", one, "on", 1.0, 20, 0, None, "iris", "abc")
    do("metric, key of 250", "log_metric", one, "k" * 250, 1.0, 20)
    do("metric, key of 251", "log_metric", one, "k" * 251, 1.0, 20)
    do("metric, empty key", "log_metric", one, "", 1.0, 20)
    do("metric, no key", "log_metric", one, None, 1.0, 20)
    do("metric, bad key", "log_metric", one, "a?b", 1.0, 20)
    do("metric, key that climbs", "log_metric", one, "../b", 1.0, 20)
    do("metric, unknown run", "log_metric", NO_RUN, "m", 1.0, 20)
    do("metrics now", metrics_of, do, one)


def metrics_of(do, one):
    """Without the one whose step only MLflow takes."""
    values = do.client.get_run(one).data.metrics
    return {key: value for key, value in values.items() if key != "too late"}


def history(do, one):
    do("history", "get_metric_history", one, "loss")
    do("history of NaN", "get_metric_history", one, "odd NaN")
    do("history of infinity", "get_metric_history", one, "odd infinity")
    do("history with a dataset", "get_metric_history", one, "on")
    do("history, unknown key", "get_metric_history", one, "nothing")
    do("history, empty key", "get_metric_history", one, "")
    do("history, unknown run", "get_metric_history", NO_RUN, "loss")


def params(do, one):
    do("param", "log_param", one, "depth", 3)
    do("param, the same again", "log_param", one, "depth", 3)
    do("param, another value", "log_param", one, "depth", 4)
    do("param, empty", "log_param", one, "empty", "")
    do("param, nothing", "log_param", one, "none", None)
    do("param, list", "log_param", one, "layers", [64, 32])
    do("param, value of 6000", "log_param", one, "long", "v" * 6000)
    do("param, value of 6001", "log_param", one, "longer", "v" * 6001)
    do("length of the longer value", lambda: len(do.client.get_run(one).data.params["longer"]))
    do("param, key of 250", "log_param", one, "k" * 250, 1)
    do("param, key of 251", "log_param", one, "k" * 251, 1)
    do("param, empty key", "log_param", one, "", 1)
    do("param, bad key", "log_param", one, "a\tb", 1)
    do("param, key that climbs", "log_param", one, "a/../../b", 1)
    do("param, unknown run", "log_param", NO_RUN, "p", 1)
    do("params now", lambda: {k: v[:80] for k, v in do.client.get_run(one).data.params.items()})


def batches(do, home):
    one = do("run for batches", "create_run", home, start_time=1001, run_name="b").info.run_id
    do("batch of nothing", "log_batch", one)
    do(
        "batch of each",
        "log_batch",
        one,
        [Metric("a", 1.0, 1, 0), Metric("a", 2.0, 2, 1), Metric("b", NAN, 3, 0)],
        [Param("p", "1"), Param("q", "2")],
        [RunTag("t", "1"), RunTag("u", "2")],
    )
    do("after the batch", "get_run", one)
    do("batch, one param twice", "log_batch", one, params=[Param("w", "1"), Param("w", "2")])
    do("batch, same param twice", "log_batch", one, params=[Param("z", "1"), Param("z", "1")])
    do("batch, changed param", "log_batch", one, params=[Param("new", "1"), Param("p", "9")])
    do("nothing of it is kept", lambda: sorted(do.client.get_run(one).data.params))
    do("batch, one tag twice", "log_batch", one, tags=[RunTag("t", "8"), RunTag("t", "9")])
    do("its value", lambda: do.client.get_run(one).data.tags.get("t"))
    thousand = [Metric(f"m{i}", float(i), i, 0) for i in range(1000)]
    do("batch of 1000 metrics", "log_batch", one, thousand)
    do("batch of 1001 metrics", "log_batch", one, [*thousand, Metric("n", 1.0, 1, 0)])
    do("metrics counted", lambda: len(do.client.get_run(one).data.metrics))
    hundred = [Param(f"p{i}", "v") for i in range(100)]
    do("batch of 100 params", "log_batch", one, params=hundred)
    do("batch of 101 params", "log_batch", one, params=[*hundred, Param("o", "v")])
    do("params counted", lambda: len(do.client.get_run(one).data.params))
    do("batch, empty metric key", "log_batch", one, [Metric("", 1.0, 1, 0)])
    do("batch, bad tag key", "log_batch", one, tags=[RunTag("a?", "1")])
    do("batch, unknown run", "log_batch", NO_RUN, params=[Param("a", "b")])
