"""LightningModules: wiring of model, loss, metrics, optimizer and schedule, nothing else."""

from medlit.tasks.classification import ClassificationTask
from medlit.tasks.early_intervention import EarlyInterventionTask
from medlit.tasks.evaluation import EvaluationTask
from medlit.tasks.fusion import FusionTask
from medlit.tasks.mama import MaMATask
from medlit.tasks.one_pass import OnePassTask
from medlit.tasks.probe import ProbeTask
from medlit.tasks.results import CaseResults
from medlit.tasks.schedules import PaperCyclicLR, WarmupCosineLR
from medlit.tasks.unimodal import UnimodalTask
from medlit.tasks.zero_shot import ZeroShotTask

__all__ = [
    "CaseResults",
    "ClassificationTask",
    "EarlyInterventionTask",
    "EvaluationTask",
    "FusionTask",
    "MaMATask",
    "OnePassTask",
    "PaperCyclicLR",
    "ProbeTask",
    "UnimodalTask",
    "WarmupCosineLR",
    "ZeroShotTask",
]
