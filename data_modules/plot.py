"""A figure of one sample."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from data_modules.batch import ClassificationSample

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_sample(sample: ClassificationSample, *, class_names: Sequence[str]) -> "Figure":
    """All images of a sample, one row per modality.

    Args:
        sample: One case.
        class_names: Classes in the order of their ids.

    Returns:
        A figure that no window holds; ``figure.savefig`` writes it.
    """
    from matplotlib.figure import Figure  # half a second that training does not need

    images = sample["images"]
    rows, columns = len(images), max(len(stack) for stack in images.values())
    figure = Figure(figsize=(3 * columns, 3 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (name, stack) in zip(grid, images.items(), strict=True):
        for i, (axes, image) in enumerate(zip(row, stack, strict=False)):
            axes.imshow(image.permute(1, 2, 0).numpy())
            axes.set_title(name if len(stack) == 1 else f"{name} {i}")
    figure.suptitle(f"case {sample['case_id']}: {_describe(sample.get('label'), class_names)}")
    return figure


def _describe(label: Tensor | None, class_names: Sequence[str]) -> str:
    if label is None:
        return "label unknown"
    if label.ndim == 0:
        return class_names[int(label)]
    return ", ".join(name for name, value in zip(class_names, label, strict=True) if value) or "none"
