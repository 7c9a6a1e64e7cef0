"""Figures of image-text samples: all of the text is on the figure."""

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from data_modules.batch import ImageTextSample
from data_modules.mammography.plot import plot_pair


def test_long_names_and_captions_stay_on_the_figure():
    longest = "2." + "9" * 62  # a UID of DICOM, PS3.5 section 9.1
    sentences = [
        "Procedure: " + "MG Diagnostic one side w/CAD and additional views " * 4,
        "Impression: BI-RADS category 2.",
    ]
    sample = ImageTextSample(
        image=torch.zeros(3, 8, 8), second_image=torch.ones(3, 8, 8), sentences=sentences, same_breast=False, label=1,
        case_id=longest, group_id="1", units={},
    )  # fmt: skip
    figure = plot_pair(sample, class_names=["A", "B"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for text in figure.texts if text.get_text()]
    assert any(longest in text.get_text() for text in texts)
    assert {axes.get_title() for axes in figure.axes} == {"image", "second view, other breast"}
    for text in (*texts, *(axes.title for axes in figure.axes)):
        box = text.get_window_extent(canvas.get_renderer())
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
