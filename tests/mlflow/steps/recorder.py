"""Makes the calls of the script and writes down what came of each, the same for every server.

What a server or a clock chooses is replaced by a name: ids by the step in which they were first seen
(`run of "runs: create"`), times, random names, this run's folder and address.
"""

import json
import math
import os
import re
from collections.abc import Sequence
from enum import Enum

import requests
from mlflow import MlflowClient
from mlflow.entities._mlflow_object import _MlflowObject
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

ID = re.compile(r"\b(m-)?[0-9a-f]{32}\b")
REPEATED = re.compile(r"(.)\1{30,}")
RANDOM_NAME = re.compile(r"^[a-z]+-[a-z]+-\d+$")
TIME = re.compile(r"\b1[5-9]\d{11}\b")
LOCATION = re.compile(r"(mlflow-artifacts:/)(\d+)\b")
# Milliseconds since 1970 that only a clock gives; the script's own times are smaller.
CLOCK = 1_500_000_000_000
# Ids of nothing.
NO_RUN = "f" * 32
NO_MODEL = "m-" + NO_RUN


class Recorder:
    def __init__(self, url, folder, out):
        self.url = url
        self.folder = folder
        self.out = out
        self.client = MlflowClient()
        self.section = ""
        self.called = set()
        self.step = ""
        self.names = {NO_RUN: "no run", NO_MODEL: "no model"}

    def __call__(self, name, method, /, *args, **kwargs):
        """Calls a method of the client, or any function. Gives its result, None if it raised."""
        if isinstance(method, str):
            self.called.add(method)
            call, said = getattr(self.client, method), method
        else:
            call, said = method, method.__name__.replace("<lambda>", "")
        self.step = f"{self.section}: {name}"
        try:
            result = call(*args, **kwargs)
            key = "experiment_id" if said == "create_experiment" else ""
            outcome = {"result": self.plain(result, key)}
        except Exception as error:
            result = None
            outcome = {"error": self.fault(error)}
        given = [self.plain(arg) for arg in args] + [
            f"{key}={json.dumps(self.plain(value))}" for key, value in kwargs.items()
        ]
        self.write({"call": said, "arguments": given, **outcome})
        return result

    def http(self, name, method, path, body=None, data=None, headers=()):
        """A request as another client would write it; what is recorded is status and body."""
        self.step = f"{self.section}: {name}"
        token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        answer = requests.request(
            method,
            f"{self.url}{path}",
            json=body,
            data=data,
            headers={"Authorization": f"Bearer {token}", **dict(headers)},
            timeout=60,
        )
        try:
            content = answer.json()
        except ValueError:
            # The client reads an empty body as {}.
            content = (answer.text or {}) if answer.ok else None
        outcome = (
            {"result": self.plain(meaning(content))}
            if answer.ok
            else {"error": self.plain({"class": "HTTP", **wire_fault(answer.status_code, content)})}
        )
        given = [self.plain(path), self.plain(body)]
        self.write({"call": method, "arguments": given, **outcome})
        return content if answer.ok else None

    def write(self, line):
        self.out.write(json.dumps({"step": self.step, **line}) + "\n")
        self.out.flush()

    def fault(self, error):
        code = error.error_code if isinstance(error, MlflowException) else None
        message = error.message if isinstance(error, MlflowException) else str(error)
        return self.plain({"class": type(error).__name__, "code": code, "message": message})

    def plain(self, value, key=""):
        """A JSON value without anything that differs from run to run; `key` is where it stands."""
        if isinstance(value, Enum):
            return value.name
        if isinstance(value, PagedList):
            return {"items": [self.plain(item) for item in value], "more": bool(value.token)}
        if isinstance(value, _MlflowObject):
            return {"": type(value).__name__, **self.plain(dict(value))}
        if isinstance(value, dict):
            return {self.text(str(key)): self.plain(item, key) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            return [self.plain(item) for item in value]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, (int, float)):
            return self.number(value)
        if isinstance(value, (bytes, str)):
            return self.text(value.decode() if isinstance(value, bytes) else value, key)
        return self.text(repr(value))

    @staticmethod
    def number(value):
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return "<time>" if CLOCK < value < 10 * CLOCK else value

    def text(self, value, key=""):
        if key == "next_page_token":
            return "<token>"
        if key == "experiment_id":
            return self.experiment(value)
        if RANDOM_NAME.match(value):
            return "<random name>"
        for place, name in ((self.url, "<server>"), (str(self.folder), "<folder>")):
            value = value.replace(place, name)
        value = LOCATION.sub(lambda match: f"{match[1]}<{self.experiment(match[2])}>", value)
        value = ID.sub(self.entity, TIME.sub("<time>", value))
        return REPEATED.sub(lambda match: f"{match[1]}×{len(match[0])}", value)

    def experiment(self, number):
        # The default one has the same number everywhere.
        return number if number == "0" else self.name(f"experiment {number}", "experiment")

    def entity(self, match):
        return f"<{self.name(match[0], 'model' if match[1] else 'run')}>"

    def name(self, key, kind):
        """A step may show several things for the first time; those are told apart by their order."""
        if key not in self.names:
            name, again = f'{kind} of "{self.step}"', 1
            while name in self.names.values():
                again += 1
                name = f'{kind} {again} of "{self.step}"'
            self.names[key] = name
        return self.names[key]


def meaning(content):
    """An answer without members that say nothing, and without workspaces, which are left out."""
    if isinstance(content, list):
        return [meaning(item) for item in content]
    if not isinstance(content, dict):
        return content
    members = {key: meaning(item) for key, item in content.items() if key != "workspace"}
    return {key: item for key, item in members.items() if item not in ({}, [])}


def wire_fault(status, content):
    told = content if isinstance(content, dict) else {}
    return {"status": status, "code": told.get("error_code"), "message": told.get("message")}
