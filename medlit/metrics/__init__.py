"""What torchmetrics lacks: ranking by logits, undefined classes left out and counted, units, figures of screening."""

from medlit.metrics.aggregate import Aggregate, aggregate, severity_order
from medlit.metrics.agreement import ordinal_agreement, quadratic_weighted_kappa
from medlit.metrics.calibration import brier_score, expected_calibration_error, probabilistic_f1, shift_prior
from medlit.metrics.classification import MEAN_METRICS, classification_metrics
from medlit.metrics.operating_points import choose_thresholds, contrast_scores, decisions_at, predictive_values
from medlit.metrics.screening import screening_figures

__all__ = [
    "MEAN_METRICS",
    "Aggregate",
    "aggregate",
    "brier_score",
    "choose_thresholds",
    "classification_metrics",
    "contrast_scores",
    "decisions_at",
    "expected_calibration_error",
    "ordinal_agreement",
    "predictive_values",
    "probabilistic_f1",
    "quadratic_weighted_kappa",
    "screening_figures",
    "severity_order",
    "shift_prior",
]
