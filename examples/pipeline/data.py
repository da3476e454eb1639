"""The data: where it comes from, and what must hold before anything is trained on it."""

import pandera.pandas as pa
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

TARGET = "cultivar"

# Limits of what a laboratory can measure: they find mixed-up columns and wrong units.
LIMITS = {
    "alcohol": (8, 20),
    "malic_acid": (0, 10),
    "ash": (0.5, 5),
    "alcalinity_of_ash": (5, 50),
    "magnesium": (40, 250),
    "total_phenols": (0, 6),
    "flavanoids": (0, 8),
    "nonflavanoid_phenols": (0, 2),
    "proanthocyanins": (0, 6),
    "color_intensity": (0, 20),
    "hue": (0, 3),
    "dilution": (0.5, 6),
    "proline": (100, 3000),
}

SCHEMA = pa.DataFrameSchema(
    {
        **{name: pa.Column(float, pa.Check.in_range(*limits)) for name, limits in LIMITS.items()},
        TARGET: pa.Column(int, pa.Check.isin([0, 1, 2])),
    },
    checks=pa.Check(lambda frame: len(frame) >= 100, error="fewer than 100 rows"),
    strict=True,
    unique=[*LIMITS, TARGET],
)


def load():
    """The wines that ship with scikit-learn. Raises pandera's SchemaErrors with every fault."""
    frame = load_wine(as_frame=True).frame
    frame = frame.rename(columns={"od280/od315_of_diluted_wines": "dilution", "target": TARGET})
    return SCHEMA.validate(frame, lazy=True)


def split(frame, seed):
    """Rows to learn from and rows that only the evaluation sees: (features, target) of each."""
    learn, hold_out = train_test_split(
        frame, test_size=0.3, random_state=seed, stratify=frame[TARGET]
    )
    return [(part.drop(columns=TARGET), part[TARGET]) for part in (learn, hold_out)]
