"""Clinical variables (age, sex, site, ...) as one more modality: a token among the backbone's own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medlit.errors import ConfigurationError

VARIABLES = "variables"
"""Name of the modality that holds clinical variables (the same as in ``data_modules.batch``)."""

HIDDEN_WIDTH = 384
"""Width between the two layers of the encoder, that of the projectors of Early Intervention."""


class VariableEncoder(nn.Module):
    """The variables of a case as one token: ``Linear(GELU(Linear([values; unknown])))``.

    An unknown variable enters as zero, the mean of a standardised number, beside a flag that says so.

    Args:
        num_variables: V, number of features.
        width: D, channels of the token.
    """

    def __init__(self, num_variables: int, width: int) -> None:
        super().__init__()
        self.num_variables = num_variables
        self.layers = nn.Sequential(
            nn.Linear(2 * num_variables, HIDDEN_WIDTH), nn.GELU(), nn.Linear(HIDDEN_WIDTH, width)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Tokens (B, 1, D).

        Args:
            values: (B, V) float32, NaN where a variable is unknown.

        Raises:
            ValueError: If there are not V values a case.
        """
        if values.ndim != 2 or values.shape[1] != self.num_variables:
            raise ValueError(f"clinical variables have shape {tuple(values.shape)}, not (B, {self.num_variables})")
        unknown = values.isnan()
        known = torch.where(unknown, values.new_zeros(()), values)
        token: Tensor = self.layers(torch.cat([known, unknown.to(values.dtype)], dim=1))
        return token[:, None]


def check_variables(modalities: Sequence[str], variables: Sequence[str]) -> None:
    """Refuse clinical variables without names, and names without their modality.

    Raises:
        ConfigurationError: Saying which is missing.
    """
    if VARIABLES in modalities and not variables:
        raise ConfigurationError(
            f"modality {VARIABLES!r} has no clinical variables: the data names none; take it out of the modalities"
        )
    if variables and VARIABLES not in modalities:
        raise ConfigurationError(
            f"clinical variables {', '.join(variables)} need {VARIABLES!r} among the modalities {list(modalities)}"
        )
