"""A packed model as production runs it: features of the market in, predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monitor.demo.desk import Predict
from monitor.models.artifact import load_artifact
from monitor.models.model import Model


def predictor(artifact: Path, feature_names: Sequence[str]) -> Predict:
    """The model of an artifact directory; it takes its own columns, by name, from rows of `feature_names`.

    Raises:
        ArtifactError: the artifact is refused.
    """
    model = Model.load(load_artifact(artifact))
    columns = [feature_names.index(name) for name in model.features]
    return lambda features: model.run(np.ascontiguousarray(features[:, columns], model.dtype))
