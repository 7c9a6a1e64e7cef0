"""What data may ask beside their classes, and what is refused with the reason."""

import math
from types import SimpleNamespace

import pytest
import torch

from medlit.errors import ConfigurationError
from medlit.tasks.screening import (
    ANSWER,
    Judgement,
    Question,
    judgement_of,
    question_figures,
    read_points,
    what_a_test_lacks,
)

CANCER = Question(ANSWER, (1,), (0,))
NAMES = ["no cancer", "cancer"]


def asked(num_classes=7, multi_label=False, **said):
    return judgement_of(SimpleNamespace(**said), num_classes=num_classes, multi_label=multi_label)


def test_data_that_say_nothing_ask_nothing():
    assert asked() == Judgement()
    assert judgement_of(None, num_classes=2, multi_label=False) == Judgement()
    figures = question_figures(torch.zeros(2, 2), torch.tensor([0, 1]), Judgement(), thresholds={}, class_names=NAMES)
    assert figures == {}


def test_the_class_that_is_looked_for_is_a_question_and_so_is_a_contrast():
    cancer = asked(2, positive_class=1, natural_prevalence=True, screening_prevalence=0.005)
    assert cancer == Judgement((CANCER,), None, True, 0.005)
    assert asked(2, positive_class=0).questions == (Question(ANSWER, (0,), (1,)),)
    suspicious = asked(contrasts={"suspicious": ([4, 5], [1, 2])}, ordinal_classes=[1, 2, 3])
    assert suspicious == Judgement((Question("suspicious", (4, 5), (1, 2)),), (1, 2, 3))
    assert [question.prefix for question in (*cancer.questions, *suspicious.questions)] == ["", "suspicious/"]


def test_of_several_labels_nothing_is_asked():
    assert asked(2, multi_label=True, positive_class=1, contrasts={"a": ([0], [1])}) == Judgement()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"contrasts": {"a": ([4, 5], [5, 1])}}, r"a sets classes \[4, 5\] against \[5, 1\]; .* none twice"),
        ({"contrasts": {"a": ([7], [1])}}, "name some of 0 to 6 on each side"),
        ({"contrasts": {"a": ([4], [])}}, "on each side"),
        ({"positive_class": 1}, "positive_class is 1; that is for two classes, not 7"),
        ({"ordinal_classes": [1, 1]}, r"ordinal_classes is \[1, 1\]; name some of 0 to 6, once"),
        ({"screening_prevalence": 5.0}, "screening_prevalence is 5.0; it is above 0 and below 1"),
    ],
)
def test_questions_that_make_no_sense_are_refused(said, why):
    with pytest.raises(ConfigurationError, match=f"SimpleNamespace.*{why}"):
        asked(**said)


def test_a_checkpoint_from_before_has_no_thresholds_and_one_with_them_gives_them_back():
    assert read_points(None, source="old.ckpt") == {}
    points = {"mammogram": {ANSWER: {"youden": 0.5, "specificity_90": math.inf}}}
    assert read_points(points, source="new.ckpt") == points


def test_what_a_test_lacks_is_said_once_for_all_or_by_name():
    judgement = Judgement((CANCER,), natural=True)
    [nothing] = what_a_test_lacks(["mammogram", "breast"], {}, judgement)
    assert nothing.startswith("no thresholds")
    points = {"mammogram": {ANSWER: {"specificity_90": math.inf, "specificity_95": 0.0, "youden": 0.0}}}
    said = list(what_a_test_lacks(["mammogram", "breast"], points, judgement))
    assert said == [
        "mammogram: nobody is called positive at specificity_90: negatives of the validation tie",
        "breast: no threshold specificity_90, specificity_95, youden: the validation lacked positive or negative cases",
    ]
    assert list(what_a_test_lacks(["mammogram"], {}, Judgement())) == []
