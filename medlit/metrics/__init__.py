"""What torchmetrics lacks: ranking by raw logits, with undefined classes left out of means and counted."""

from medlit.metrics.classification import MEAN_METRICS, classification_metrics

__all__ = ["MEAN_METRICS", "classification_metrics"]
