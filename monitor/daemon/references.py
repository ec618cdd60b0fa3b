"""Whether a reference serves a deployment: what its configuration and models ask of it. Reads no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.models.model import Model
from monitor.settings.deployment import Deployment
from monitor.stats.reference import Reference


def unfit(
    reference: Reference, deployment: Deployment, models: Mapping[str, Model]
) -> Iterator[tuple[str, str, str]]:
    """Key below the deployment, what is wrong, and what to do, for everything that cannot work."""
    for feature in deployment.samples.ks_features:
        found = reference.features.get(feature)
        if found is None:
            message = f"the reference has no feature {feature!r}."
            yield "samples.ks_features", message, "name a feature of the reference, or make it anew."
        elif found.kind == "categorical":
            message = f"{feature!r} is categorical: categories have no order, so no KS statistic."
            yield "samples.ks_features", message, "leave it out."
        elif not found.sample:
            message = f"the reference holds no sample of {feature!r}."
            yield "samples.ks_features", message, f"make it anew with `baseline --sample {feature}`."
    taken = {name for model in models.values() for name in model.features}
    text = sorted(name for name, d in reference.features.items() if d.kind == "categorical" and name in taken)
    if text:
        message = f"{', '.join(text)}: categorical in the reference, a number to a model."
        yield "reference", message, "make it anew from a schema with the model's dtypes."
