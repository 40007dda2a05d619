"""A model that is asked: loaded, its matrices rounded if they are to be, and where it computes. load → LoadedModel."""

from collections.abc import Callable

import torch

from ishibumi.models.load import LoadedModel, pick_device
from ishibumi.settings import ModelSettings
from ishibumi.training.precision import Precision, move_rounded


def load_to_ask(
    load: Callable[[torch.device], LoadedModel], settings: ModelSettings, precision: Precision
) -> LoadedModel:
    """What `load` gives on a device, ready to reply on that of the settings; what is rounded goes there one by one."""
    device = pick_device(settings.device)
    if precision == "bf16":
        return load(device)
    model = load(torch.device("cpu"))
    move_rounded(model.network, precision, device)
    return model
