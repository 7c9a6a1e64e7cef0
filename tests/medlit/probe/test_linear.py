"""The probe's solution is the optimum: against a plain L-BFGS in float64, against scikit-learn, and by its gradient."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from medlit.errors import ConfigurationError
from medlit.probe.linear import L2_GRID, solve_path
from tests.medlit.probe.made import made


def plain(features, labels, num_classes, l2, class_weights=None):
    """The definition, solved by L-BFGS in float64 on standardised features; returns logits."""
    x = features.double()
    x = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    weight = torch.zeros(num_classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
    settings = {"max_iter": 5000, "max_eval": 10000, "tolerance_grad": 1e-9, "tolerance_change": 0}
    optimizer = torch.optim.LBFGS([weight, bias], **settings, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight.T + bias, labels, weight=class_weights) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (x @ weight.T + bias).detach()


def gap(logits, expected):
    return float((logits.softmax(dim=1) - expected.softmax(dim=1)).abs().max())


@pytest.mark.parametrize(
    ("cases", "width", "classes", "spread"),
    [(400, 24, 2, 0.3), (400, 24, 4, 0.3), (300, 16, 7, 3.0), (40, 64, 3, 0.5)],
    ids=["two classes", "four", "seven, told apart without error", "fewer cases than features"],
)
def test_probabilities_are_those_of_a_plain_solution_at_every_penalty(cases, width, classes, spread):
    features, labels = made(cases, width, classes, spread=spread)
    for solution in solve_path(features, labels, num_classes=classes, l2=L2_GRID[:-1]):
        expected = plain(features, labels, classes, solution.l2)
        assert solution.converged
        assert gap(solution.logits(features), expected) < 1e-4, solution.l2


def test_a_solution_does_not_depend_on_the_one_it_starts_from():
    features, labels = made(300, 20, 3)
    *_, last = solve_path(features, labels, num_classes=3)
    [alone] = solve_path(features, labels, num_classes=3, l2=L2_GRID[-1:])
    assert gap(last.logits(features), alone.logits(features)) < 1e-4


def test_equals_scikit_learn():
    features, labels = made(300, 12, 3)
    [solution] = solve_path(features, labels, num_classes=3, l2=[0.01])
    x = features.double()
    x = ((x - x.mean(dim=0)) / x.std(dim=0, correction=0)).numpy()
    theirs = LogisticRegression(C=1 / (300 * 0.01), tol=1e-10, max_iter=5000).fit(x, labels.numpy())
    ours = solution.logits(features).softmax(dim=1)
    assert float((ours - torch.from_numpy(theirs.predict_proba(x))).abs().max()) < 1e-5


def test_class_weights_are_factors_on_the_classes():
    features, labels = made(300, 12, 3)
    factors = torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)
    [solution] = solve_path(features, labels, num_classes=3, l2=[0.01], class_weights=factors)
    assert gap(solution.logits(features), plain(features, labels, 3, 0.01, factors)) < 1e-4
    repeated = torch.cat([torch.arange(300), (labels == 0).nonzero()[:, 0]])
    unit = (features - features.mean(dim=0)) / features.std(dim=0, correction=0)
    [doubled] = solve_path(unit, labels, num_classes=3, l2=[0.01], class_weights=torch.tensor([2.0, 1, 1]))
    unit_again = plain_on(unit, unit[repeated], labels[repeated], 0.01)
    assert gap(doubled.logits(unit), unit_again) < 1e-4


def plain_on(shown, features, labels, l2):
    """scikit-learn's logits of ``shown`` after learning from features as they are."""
    theirs = LogisticRegression(C=1 / (len(labels) * l2), tol=1e-10, max_iter=5000)
    theirs.fit(features.double().numpy(), labels.numpy())
    return torch.from_numpy(theirs.decision_function(shown.double().numpy()))


@pytest.mark.slow
def test_ten_thousand_features_of_768_have_the_probabilities_of_a_plain_solution():
    features, labels = made(10_000, 768, 4)
    [solution] = solve_path(features, labels, num_classes=4, l2=[1.0])
    assert gap(solution.logits(features), plain(features, labels, 4, 1.0)) < 1e-3


def test_scale_and_offset_of_a_feature_change_no_probability():
    features, labels = made(200, 10, 3)
    stretched = features.double() * torch.logspace(-3, 3, 10, dtype=torch.float64) + 5
    [one], [other] = (list(solve_path(x, labels, num_classes=3, l2=[0.01])) for x in (features, stretched))
    assert gap(one.logits(features), other.logits(stretched)) < 1e-5


def test_constant_features_get_no_weight_and_rounding_is_not_magnified():
    features, labels = made(200, 6, 2)
    noise = 100 + 1e-5 * torch.randn(200, generator=torch.Generator().manual_seed(1))  # the last bits of float32
    features = torch.cat([features, torch.full((200, 1), 7.0), noise[:, None]], dim=1)
    [solution] = solve_path(features, labels, num_classes=2, l2=[0.01])
    assert solution.weight[:, 6:].abs().max() == 0
    assert solution.weight[:, :6].abs().min() > 0


def test_a_class_without_a_case_is_never_the_likeliest():
    features, labels = made(90, 8, 3)
    labels = torch.tensor([0, 2, 5])[labels]
    for solution in solve_path(features, labels, num_classes=7):
        logits = solution.logits(torch.cat([features, 100 * features]))
        assert set(logits.argmax(dim=1).tolist()) <= {0, 2, 5}
        assert float(logits.softmax(dim=1)[:, [1, 3, 4, 6]].max()) <= 1 / 91
    [known] = solve_path(features, labels, num_classes=7, l2=[0.1])
    [three] = solve_path(features, torch.tensor([0, 0, 1, 0, 0, 2])[labels], num_classes=3, l2=[0.1])
    assert torch.equal(known.weight[[0, 2, 5]], three.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(8, dtype=torch.long)}, "8 training cases of 1 class"),
        ({"l2": [0.1, 0.0]}, r"l2 is \[0.1, 0.0\]"),
        ({"l2": []}, r"l2 is \[\]"),
        ({"features": torch.full((8, 3), float("nan"))}, "features of 8 cases are not finite"),
    ],
)
def test_what_cannot_be_solved_is_refused_in_words(change, message):
    given = {"features": torch.rand(8, 3), "labels": torch.arange(8) % 2, "l2": [0.1], **change}
    with pytest.raises(ConfigurationError, match=message):
        list(solve_path(given["features"], given["labels"], num_classes=2, l2=given["l2"]))


@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 2]), torch.tensor([0, 1])])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(ValueError, match="labels"):
        list(solve_path(torch.rand(3, 2), labels, num_classes=2))
