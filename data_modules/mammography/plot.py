"""A figure of an image-text sample."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data_modules.batch import ImageTextSample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = 90
"""Letters of a line below two images of three inches each."""


def plot_pair(sample: ImageTextSample, *, class_names: Sequence[str]) -> "Figure":
    """Both images of a sample, and its caption below, a sentence a paragraph.

    Args:
        sample: One image with its second view.
        class_names: Classes in the order of their ids.

    Returns:
        A figure that no window holds; ``figure.savefig`` writes it.
    """
    from matplotlib.figure import Figure  # half a second that training does not need

    lines = [line for sentence in sample["sentences"] for line in textwrap.wrap(sentence, LINE)]
    figure = Figure(figsize=(6.5, 3.8 + 0.16 * len(lines)), layout="constrained")
    second = "second view, " + ("same breast" if sample["same_breast"] else "other breast")
    for axes, image, title in zip(
        figure.subplots(1, 2), (sample["image"], sample["second_image"]), ("image", second), strict=True
    ):
        axes.imshow(image.permute(1, 2, 0).numpy())
        axes.set_title(title)
        axes.set_axis_off()
    figure.supxlabel("\n".join(lines), fontsize="x-small", ha="left", x=0.02)
    label = "label unknown" if sample["label"] < 0 else class_names[sample["label"]]
    figure.suptitle(f"{label}\ncase {sample['case_id']}", fontsize="small")  # a DICOM UID has up to 64 letters
    return figure
