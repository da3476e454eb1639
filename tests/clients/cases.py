"""Runs the functions test_… of a script, one after the other, and prints a JSON line for each."""

import asyncio
import inspect
import json
import os
import traceback

URL = os.environ["RELAIS_URL"]
HOST = URL.removeprefix("http://")


def authorized():
    """Headers of a request; a fresh object, because tritonclient adds its own to what it is given."""
    return {"Authorization": "Bearer " + os.environ["RELAIS_TOKEN"]}


def run(module):
    for name, case in list(vars(module).items()):
        if not name.startswith("test_"):
            continue
        error = ""
        try:
            result = case()
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except Exception:
            error = traceback.format_exc()
        print(json.dumps({"name": name, "error": error}, separators=(",", ":")), flush=True)


class raises:
    """`with raises(Kind, "text"):` demands an exception whose words hold the text."""

    def __init__(self, kind, text):
        self.kind, self.text = kind, text

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _trace):
        assert kind is not None, f"nothing was raised; expected {self.text!r}"
        if not issubclass(kind, self.kind):
            return False
        assert self.text in str(error), f"{self.text!r} is not in {error!r}"
        return True
