"""A figure of one sample."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from data_modules.batch import VARIABLES, ClassificationSample

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_sample(sample: ClassificationSample, *, class_names: Sequence[str], variables: Sequence[str] = ()) -> "Figure":
    """All images of a sample, one row per modality, and its clinical variables as text.

    Args:
        sample: One case.
        class_names: Classes in the order of their ids.
        variables: What to write of the clinical variables, one line each.

    Returns:
        A figure that no window holds; ``figure.savefig`` writes it.
    """
    from matplotlib.figure import Figure  # half a second that training does not need

    images = {name: stack for name, stack in sample["images"].items() if name != VARIABLES}
    rows, columns = max(len(images), 1), max((len(stack) for stack in images.values()), default=1)
    figure = Figure(figsize=(3 * columns, 3 * rows + 0.5 + 0.2 * len(variables)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (name, stack) in zip(grid, images.items(), strict=False):
        for i, (axes, image) in enumerate(zip(row, stack, strict=False)):
            axes.imshow(image.permute(1, 2, 0).numpy())
            axes.set_title(name if len(stack) == 1 else f"{name} {i}")
    if variables:
        figure.supxlabel("\n".join(variables), fontsize="small")
    figure.suptitle(f"case {sample['case_id']}: {_describe(sample.get('label'), class_names)}")
    return figure


def _describe(label: Tensor | None, class_names: Sequence[str]) -> str:
    if label is None:
        return "label unknown"
    if label.ndim == 0:
        return class_names[int(label)]
    return ", ".join(name for name, value in zip(class_names, label, strict=True) if value) or "none"
