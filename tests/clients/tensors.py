"""One array per datatype, with the values at which a conversion would show."""

import numpy as np

F32 = np.finfo(np.float32)
ARRAYS = {
    "bool": ("BOOL", np.array([[True, False], [False, True]])),
    "int8": ("INT8", np.array([[-128, 127], [0, 1]], np.int8)),
    "int16": ("INT16", np.array([[-32768, 32767], [0, 1]], np.int16)),
    "int32": ("INT32", np.array([[-(2**31), 2**31 - 1], [0, 1]], np.int32)),
    "int64": ("INT64", np.array([[-(2**63), 2**63 - 1], [2**53 + 1, -1]], np.int64)),
    "uint8": ("UINT8", np.array([[0, 255], [1, 2]], np.uint8)),
    "uint16": ("UINT16", np.array([[0, 65535], [1, 2]], np.uint16)),
    "uint32": ("UINT32", np.array([[0, 2**32 - 1], [1, 2]], np.uint32)),
    "uint64": ("UINT64", np.array([[0, 2**64 - 1], [2**53 + 1, 2]], np.uint64)),
    "float16": ("FP16", np.array([[1.5, -2], [65504, 6e-8]], np.float16)),
    "float32": ("FP32", np.array([[1.5, -2], [F32.max, 1e-45]], np.float32)),
    "float64": ("FP64", np.array([[1.1, -2], [1.7976931348623157e308, 5e-324]], np.float64)),
    "string": ("BYTES", np.array([["", "Zoë"], ["日本語 🚀", 'a"b\\c\n']], object)),
}


def same(given, sent):
    """Equal in type and in every bit; strings come back as bytes or as text."""
    if sent.dtype == object:
        texts = [one.decode() if isinstance(one, bytes) else one for one in given.flatten()]
        assert texts == list(sent.flatten()), texts
    else:
        assert given.dtype == sent.dtype, given.dtype
        assert given.tobytes() == sent.tobytes(), given
    assert given.shape == sent.shape, given.shape
