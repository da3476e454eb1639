"""What runs read and made: datasets, models going in and out."""

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput

from steps.recorder import NO_RUN


def dataset(name="iris", digest="abc123", **more):
    fields = {"source_type": "http", "source": '{"url": "http://x/iris.csv"}', **more}
    return Dataset(name, digest, **fields)


def run(do):
    home = do("experiment", "create_experiment", "lineage")
    one = do("run", "create_run", home, start_time=1000, run_name="l").info.run_id
    model = do("model", "create_logged_model", home, "net", one).model_id
    plain = DatasetInput(dataset(), [InputTag("mlflow.data.context", "train")])
    rich = DatasetInput(dataset("full", "d2", schema='{"a": "long"}', profile='{"rows": 150}'))
    do("inputs", "log_inputs", one, [plain, rich])
    do("inputs read", lambda: do.client.get_run(one).inputs)
    do("inputs again", "log_inputs", one, [plain])
    again = DatasetInput(dataset(), [InputTag("mlflow.data.context", "test")])
    do("inputs with another context", "log_inputs", one, [again])
    do("inputs after that", lambda: do.client.get_run(one).inputs)
    do("a model goes in", "log_inputs", one, models=[LoggedModelInput(model)])
    do("models in", lambda: do.client.get_run(one).inputs.model_inputs)
    do("inputs of nothing", "log_inputs", one)
    for what, made in {
        "name of 500": dataset("n" * 500),
        "name of 501": dataset("n" * 501),
        "digest of 36": dataset(digest="d" * 36),
        "digest of 37": dataset(digest="d" * 37),
        "no name": dataset(""),
        "source of 65535": dataset("big", source="s" * 65_535),
        "source of 65536": dataset("big2", source="s" * 65_536),
    }.items():
        do(f"inputs, {what}", "log_inputs", one, [DatasetInput(made)])
    for what, tag in {
        "tag key of 255": InputTag("k" * 255, "v"),
        "tag key of 256": InputTag("k" * 256, "v"),
        "tag value of 500": InputTag("k", "v" * 500),
        "tag value of 501": InputTag("k", "v" * 501),
    }.items():
        do(
            f"inputs, {what}",
            "log_inputs",
            one,
            [DatasetInput(dataset("tagged", what[-3:]), [tag])],
        )
    do("inputs, unknown run", "log_inputs", NO_RUN, [plain])
    outputs(do, one, model)


def outputs(do, one, model):
    do("a model comes out", "log_outputs", one, [LoggedModelOutput(model, 0)])
    do("it comes out again", "log_outputs", one, [LoggedModelOutput(model, 0)])
    do("models out", lambda: do.client.get_run(one).outputs)
    do("outputs of nothing", "log_outputs", one, [])
    do("outputs, unknown run", "log_outputs", NO_RUN, [LoggedModelOutput(model, 0)])
