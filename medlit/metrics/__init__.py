"""What torchmetrics lacks: ranking by logits, undefined classes left out of means and counted, answers of units."""

from medlit.metrics.aggregate import Aggregate, aggregate, severity_order
from medlit.metrics.classification import MEAN_METRICS, classification_metrics

__all__ = ["MEAN_METRICS", "Aggregate", "aggregate", "classification_metrics", "severity_order"]
