"""Writes the small ONNX models of the tests and README.md beside them.

Usage: python make_models.py [folder]          (default: the folder of this file)
       python make_models.py --check [folder]  also runs every model in a process of its own

Needs: onnx==1.23.2 onnxruntime==1.30.0 numpy==2.4.6. The crashes are those of that runtime on
x86-64 Linux; the check fails when another runtime behaves differently, so an upgrade shows.
"""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}
FLOAT, INT64, BOOL, UINT8 = (TYPES[name] for name in ("float32", "int64", "bool", "uint8"))

# What a run does when the inputs are random. A signal name means: the process dies of it.
LOADS, RUNS, REFUSED, HANGS = "loads", "runs", "refused", "hangs"
INT64_MIN = -(2**63)
# So many scales overrun the stack of Resize whatever their values; 64 do so only by chance.
MANY = 20000
# Which of the two depends on what lies beside the stack frame.
OVERRUN = "run SIGSEGV|run SIGABRT"
SLOW_TURNS = 340

node = helper.make_node
info = helper.make_tensor_value_info
files = []


def add(name, content, text, *expected):
    """expected: (what happens, input values that differ from random ones) per run."""
    files.append((name, content, text, expected or ((RUNS, {}),)))


def graph(nodes, inputs, outputs, weights=()):
    return helper.make_graph(nodes, "test", inputs, outputs, list(weights))


def model(nodes, inputs, outputs, weights=(), opset=21, ir=10, domains=()):
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, 1) for domain in domains]
    made = helper.make_model(
        graph(nodes, inputs, outputs, weights), opset_imports=opsets, ir_version=ir
    )
    return made.SerializeToString(deterministic=True)


def tensor(name, values, kind):
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def external_tensor(name, kind, shape, location, length):
    made = TensorProto(name=name, data_type=kind, dims=shape)
    made.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        made.external_data.add(key=key, value=value)
    return made


def crashers():
    shape = [2, 3, 4, 5]
    add(
        "crash-load-layernorm.onnx",
        model(
            [node("LayerNormalization", ["X", "W", "B"], ["Y", "Mean", "InvStdDev"], axis=2**31)],
            [info("X", FLOAT, shape), info("W", FLOAT, shape[2:]), info("B", FLOAT, shape[2:])],
            [
                info("Y", FLOAT, shape),
                info("Mean", FLOAT, [2, 3, 1, 1]),
                info("InvStdDev", FLOAT, [2, 3, 1, 1]),
            ],
            opset=17,
        ),
        "LayerNormalization with axis 2^31: SIGSEGV while it loads",
        ("load SIGSEGV", {}),
    )
    add(
        "crash-load-split.onnx",
        model(
            [node("Split", ["x"], ["a", "b", "c"], axis=0, num_outputs=2)],
            [info("x", FLOAT, [7])],
            [info(name, FLOAT, [None]) for name in "abc"],
            opset=18,
        ),
        "Split with three outputs and num_outputs 2: SIGABRT while it loads",
        ("load SIGABRT", {}),
    )
    add(
        "crash-run-attention.onnx",
        model(
            [
                node(
                    "Attention",
                    ["Q", "K", "V"],
                    ["Y"],
                    kv_num_heads=2**62,
                    q_num_heads=-2,
                    is_causal=1,
                )
            ],
            [
                info("Q", FLOAT, [2, 4, 24]),
                info("K", FLOAT, [2, 6, 24]),
                info("V", FLOAT, [2, 6, 24]),
            ],
            [info("Y", FLOAT, [2, 4, 24])],
            opset=23,
            ir=11,
        ),
        "Attention with 2^62 heads: loads, SIGFPE at the first run with any input",
        ("run SIGFPE", {}),
    )
    add(
        "crash-run-resize.onnx",
        model(
            [node("Resize", ["X", "", "scales"], ["Y"], mode="nearest")],
            [info("X", FLOAT, [1, 1, 2, 4]), info("scales", FLOAT, [MANY])],
            [info("Y", FLOAT, ["a", "b", "c", "d"])],
            opset=19,
        ),
        f"Resize with {MANY} scales for 4 dimensions: loads, SIGSEGV or SIGABRT at the first run",
        (OVERRUN, {}),
    )
    add(
        "crash-run-dft.onnx",
        model(
            [node("DFT", ["x", "", ""], ["y"])],
            [info("x", FLOAT, [1, 10, 10, 1])],
            [info("y", FLOAT, ["a", "b", "c", 2])],
            opset=20,
        ),
        "DFT whose axis input has an empty name: loads, SIGSEGV at the first run with any input",
        ("run SIGSEGV", {}),
    )


def loop(count, condition, body_nodes, start, end, shape, kind, weights=(), produces="next"):
    """A Loop node that carries one value of the given shape."""
    body = graph(
        [node("Identity", ["go_on"], ["still"]), *body_nodes],
        [info("turn", INT64, []), info("go_on", BOOL, []), info("value", kind, shape)],
        [info("still", BOOL, []), info(produces, kind, shape)],
        weights,
    )
    return node("Loop", [count, condition, start], [end], body=body)


def loops():
    add(
        "hang-run-loop.onnx",
        model(
            [loop("", "", [node("Neg", ["value"], ["next"])], "x", "y", ["N", 2], FLOAT)],
            [info("x", FLOAT, ["N", 2])],
            [info("y", FLOAT, ["N", 2])],
        ),
        "Loop without end: loads, hangs at the first run with any input",
        (HANGS, {}),
    )
    add(
        "spin.onnx",
        model(
            [loop("n", "", [node("Add", ["value", "one"], ["next"])], "zero", "count", [1], INT64)],
            [info("n", INT64, [1])],
            [info("count", INT64, [1])],
            [tensor("zero", [0], np.int64), tensor("one", [1], np.int64)],
        ),
        "`n` int64 [1] -> `count` [1] = n, counted in a Loop: 2^40 takes days",
        (RUNS, {"n": [1000]}),
        (HANGS, {"n": [2**40]}),
    )
    size = 256
    add(
        "slow.onnx",
        model(
            [
                node(
                    "ConstantOfShape", ["shape"], ["ones"], value=tensor("v", [1], np.float32)
                ),
                node("Div", ["ones", "size"], ["weights"]),
                loop(
                    "count",
                    "",
                    [node("MatMul", ["value", "weights"], ["next"])],
                    "ones",
                    "end",
                    [size, size],
                    FLOAT,
                ),
                node("ReduceMean", ["end"], ["one"], keepdims=0),
                node("Mul", ["x", "one"], ["y"]),
            ],
            [info("x", FLOAT, ["N", 2])],
            [info("y", FLOAT, ["N", 2])],
            [
                tensor("shape", [size, size], np.int64),
                tensor("size", size, np.float32),
                tensor("count", SLOW_TURNS, np.int64),
            ],
        ),
        "`x` float32 [N,2] -> `y` = x after about 50 ms on one thread, whatever N is",
    )


def well_behaved():
    add(
        "div.onnx",
        model(
            [node("Div", ["a", "b"], ["c"])],
            [info("a", INT64, ["N"]), info("b", INT64, ["N"])],
            [info("c", INT64, ["N"])],
            opset=14,
            ir=7,
        ),
        "`a`, `b` int64 [N] -> `c` = a / b; b = 0 is a plain error, but a = -2^63 with b = -1 "
        "kills the process with SIGFPE on x86-64 (the quotient does not fit; arm64 wraps)",
        (RUNS, {"a": [7, -9], "b": [2, 3]}),
        (REFUSED, {"a": [7, 7], "b": [1, 0]}),
        ("run SIGFPE", {"a": [INT64_MIN], "b": [-1]}),
    )
    add(
        "resize.onnx",
        model(
            [node("Resize", ["x", "", "scales"], ["y"], mode="nearest")],
            [info("x", FLOAT, ["a", "b", "c", "d"]), info("scales", FLOAT, ["K"])],
            [info("y", FLOAT, ["e", "f", "g", "h"])],
            opset=19,
        ),
        "`x` float32 of rank 4, `scales` float32 [K] -> `y` = x resized; K = 4 works, "
        f"{MANY} scales kill the process with SIGSEGV or SIGABRT",
        (RUNS, {"scales": [1, 1, 2, 2]}),
        (OVERRUN, {"scales": [1] * MANY}),
    )
    for name, kind in TYPES.items():
        add(
            f"identity-{name}.onnx",
            model(
                [node("Identity", ["x"], ["y"])],
                [info("x", kind, ["N", 2])],
                [info("y", kind, ["N", 2])],
            ),
            f"`x` {name} [N,2] -> `y` = x",
        )
    add(
        "multi.onnx",
        model(
            [
                node("Add", ["a", "b"], ["sum"]),
                node("Mul", ["a", "b"], ["products"]),
                node("ReduceSum", ["products", "axes"], ["dot"], keepdims=0),
            ],
            [info("a", FLOAT, ["N", 3]), info("b", FLOAT, ["N", 3])],
            [info("sum", FLOAT, ["N", 3]), info("dot", FLOAT, ["N"])],
            [tensor("axes", [1], np.int64)],
        ),
        "`a`, `b` float32 [N,3] -> `sum` [N,3] = a + b and `dot` [N] = the dot product per row",
    )
    add(
        "scalar.onnx",
        model(
            [node("Cast", ["k"], ["factor"], to=FLOAT), node("Mul", ["x", "factor"], ["y"])],
            [info("x", FLOAT, ["N", 2]), info("k", INT64, [])],
            [info("y", FLOAT, ["N", 2])],
        ),
        "`x` float32 [N,2] and `k` int64 of shape [] -> `y` = x * k",
    )
    add(
        "mean.onnx",
        model(
            [
                node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
                node("Sub", ["x", "mean"], ["y"]),
            ],
            [info("x", FLOAT, ["N", 2])],
            [info("y", FLOAT, ["N", 2])],
            [tensor("axes", [0], np.int64)],
        ),
        "`x` float32 [N,2] -> `y` = x - mean over the rows: looks batchable and is not, "
        "one row alone always gives 0",
    )


def nested_ifs(depth):
    """Encoded by hand, because protobuf libraries refuse to write messages this deep."""

    def field(number, content):
        size, length = len(content), b""
        while size >= 128:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    def number_of(message, name):
        return message.DESCRIPTOR.fields_by_name[name].number

    def branch(name, content):
        attribute = AttributeProto(name=name, type=AttributeProto.GRAPH).SerializeToString()
        return field(
            number_of(NodeProto, "attribute"),
            attribute + field(number_of(AttributeProto, "g"), content),
        )

    def leaf(name):
        return graph([node("Identity", ["x"], [name])], [], [info(name, FLOAT, ["N", 2])])

    inner = leaf("y0").SerializeToString()
    for level in range(1, depth + 1):
        if_node = node("If", ["flag"], [f"y{level}"]).SerializeToString()
        if_node += branch("then_branch", inner)
        if_node += branch("else_branch", leaf(f"z{level}").SerializeToString())
        outputs = [info(f"y{level}", FLOAT, ["N", 2])]
        inputs = [info("x", FLOAT, ["N", 2]), info("flag", BOOL, [])] if level == depth else []
        inner = graph([], inputs, outputs).SerializeToString()
        inner += field(number_of(GraphProto, "node"), if_node)
    whole = helper.make_model(
        GraphProto(), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    whole.ClearField("graph")
    return whole.SerializeToString() + field(number_of(type(whole), "graph"), inner)


def refused():
    add(
        "external.onnx",
        model(
            [node("MatMul", ["x", "weights"], ["y"])],
            [info("x", FLOAT, ["N", 4])],
            [info("y", FLOAT, ["N", 4])],
            [external_tensor("weights", FLOAT, [4, 4], "weights.bin", 64)],
        ),
        "`x` float32 [N,4] -> `y` = x times a [4,4] matrix in `weights.bin` (64 bytes, not here)",
        (REFUSED, {}),
    )
    add(
        "external-escape.onnx",
        model(
            [node("Concat", ["x", "bytes"], ["y"], axis=0)],
            [info("x", UINT8, ["N"])],
            [info("y", UINT8, ["M"])],
            [external_tensor("bytes", UINT8, [16], "../../../../etc/passwd", 16)],
        ),
        "external data at `../../../../etc/passwd`: must be refused",
        (REFUSED, {}),
    )
    hidden = external_tensor("bytes", UINT8, [16], "weights.bin", 16)
    add(
        "external-subgraph.onnx",
        model(
            [
                node(
                    "If",
                    ["flag"],
                    ["y"],
                    then_branch=graph(
                        [node("Constant", [], ["a"], value=hidden)], [], [info("a", UINT8, [16])]
                    ),
                    else_branch=graph(
                        [node("Identity", ["x"], ["b"])], [], [info("b", UINT8, [16])]
                    ),
                )
            ],
            [info("flag", BOOL, []), info("x", UINT8, [16])],
            [info("y", UINT8, [16])],
        ),
        "external data inside the Constant of an If branch, where a look at the initializers "
        "misses it",
        (REFUSED, {}),
    )
    add(
        "custom-domain.onnx",
        model(
            [node("Secret", ["x"], ["y"], domain="com.example.custom")],
            [info("x", FLOAT, ["N", 2])],
            [info("y", FLOAT, ["N", 2])],
            domains=["com.example.custom"],
        ),
        "an operator of the domain `com.example.custom`, which no runtime has",
        (REFUSED, {}),
    )
    add(
        "if-nested.onnx",
        nested_ifs(100),
        "100 If nodes, each inside a branch of the one before",
        (REFUSED, {}),
    )
    add(
        "not-onnx.bin",
        random.Random(7).randbytes(1024),
        "random bytes",
        (REFUSED, {}),
    )
    whole = next(content for name, content, *_ in files if name == "multi.onnx")
    add(
        "truncated.onnx",
        whole[: len(whole) // 2],
        "the first half of `multi.onnx`",
        (REFUSED, {}),
    )


CHILD = """
import json, sys
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
try:
    session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    print("loaded", flush=True)
    given, random, feeds = json.loads(sys.argv[2]), np.random.default_rng(int(sys.argv[3])), {}
    kinds = {"float": "float32", "double": "float64", "string": "object"}
    for item in session.get_inputs():
        kind = item.type[7:-1]
        shape = [size if isinstance(size, int) else 3 for size in item.shape]
        values = random.integers(0, 5, shape)
        if item.name in given:
            values = given[item.name]
        elif kind == "string":
            values = values.astype(str)
        elif "float" in kind or kind == "double":
            values = values * random.random(shape)
        feeds[item.name] = np.array(values, dtype=np.dtype(kinds.get(kind, kind)))
    session.run(None, feeds)
    print("ran", flush=True)
except Exception as error:
    print("error", str(error)[:120], flush=True)
"""


def happens(path, values, seed):
    command = [sys.executable, "-c", CHILD, str(path), json.dumps(values), str(seed)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=8)
    except subprocess.TimeoutExpired as expired:
        return HANGS if b"loaded" in (expired.stdout or b"") else "load hangs"
    if done.returncode < 0:
        phase = "run" if "loaded" in done.stdout else "load"
        return f"{phase} {signal.Signals(-done.returncode).name}"
    if "error" in done.stdout:
        return REFUSED
    return RUNS if "ran" in done.stdout else f"exit {done.returncode}: {done.stderr[-300:]}"


def check(folder):
    wrong = 0
    for name, _, _, expected in files:
        for wanted, values in expected:
            seeds = (0,) if wanted == HANGS else (0, 1, 2)
            for seed in seeds:
                got = happens(folder / name, values, seed)
                right = got in wanted.split("|")
                wrong += not right
                mark = "ok " if right else f"NOT {wanted}:"
                print(f"{mark} {name} {json.dumps(values)[:60]} {got}", flush=True)
    return wrong


def main():
    arguments = [word for word in sys.argv[1:] if word != "--check"]
    folder = Path(arguments[0]) if arguments else Path(__file__).parent
    for build in (crashers, loops, well_behaved, refused):
        build()
    lines = [f"- `{name}`: {text}." for name, _, text, _ in files]
    for name, content, *_ in files:
        (folder / name).write_bytes(content)
    (folder / "README.md").write_text(README.format(files="\n".join(lines)))
    print(f"{len(files)} files, {sum(len(content) for _, content, *_ in files)} bytes")
    if "--check" in sys.argv:
        sys.exit(1 if check(folder) else 0)


README = """# Models of the tests

Written by `make_models.py`, which also checks them (`--check`); edit the script, not this file.
Crashes and hangs are those of ONNX Runtime 1.30.0 on x86-64 Linux. Never load one of them in a
process that matters.

{files}

Written by other scripts:

- `silero.json`: three windows of Silero VAD v5 with its answers, by `make_silero.py`.
- `make-mlp.ts`: `writeMlp` writes a network of any size, to measure loading and memory.
"""


if __name__ == "__main__":
    main()
