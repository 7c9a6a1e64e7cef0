"""What tasks ask of a DataModule beside its loaders: plain attributes, neutral where a set has nothing to say."""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, cast

from data_modules.cases import Case
from data_modules.dataset import CaseDataset, SampleDataset
from data_modules.transforms import SeededTransform


class AskedByTasks(ABC):
    """The part of a DataModule that tasks read, or set before the loaders are made."""

    sharing_terms: str | None = None
    """Why weights made from these data must not be shared; None: nothing forbids it, or they are a look-alike's."""
    skip_images: Container[str] = frozenset()
    """Set by tasks that keep features: ids of cases whose images are not needed again. Their samples come without
    images, which are not read at all. Empty again at every ``setup``."""
    plain_training: bool = False
    """Set by tasks that keep features: whether the training split is read as in evaluation. False again at every
    ``setup``."""
    balanced_sampling: bool
    modality_dropout: float
    _train_transform: SeededTransform
    _eval_transform: SeededTransform

    @property
    def num_tokens(self) -> int | None:
        """Tokens that the tokenizer of the batches' text knows, added ones included; None where there is no text."""
        return None

    @property
    def tokenizer_settings(self) -> dict[str, str | int] | None:
        """``source``, ``separator`` and ``max_tokens`` of the batches' text; None where there is none."""
        return None

    @property
    def cut(self) -> dict[str, Any] | None:
        """What decides which cases train: ``name``, ``split_seed``, ``num_folds``, ``fold``; None: nothing is said."""
        return None

    @property
    def positive_class(self) -> int | None:
        """The class of two that is looked for: figures of a diagnostic test are made for it. None: no such class."""
        return None

    @property
    def contrasts(self) -> Mapping[str, tuple[Sequence[int], Sequence[int]]]:
        """Positive and negative class ids of questions with two answers, by name; other classes are reported apart."""
        return {}

    @property
    def ordinal_classes(self) -> Sequence[int] | None:
        """Class ids that are steps of one scale, in its order; None: classes have no order."""
        return None

    @property
    def natural_prevalence(self) -> bool:
        """Whether classes are as frequent among the test cases as where these come from."""
        return False

    @property
    def screening_prevalence(self) -> float | None:
        """A prevalence that figures of the test are also stated at; None: no other than the set's."""
        return None

    @abstractmethod
    def make_dataset(self, cases: Sequence[Case], *, transform: SeededTransform, training: bool) -> SampleDataset:
        """Cases as samples; sets whose files are no pictures return a subclass."""

    def image_settings(self) -> dict[str, Any]:
        """What decides the images of a sample in evaluation, beside the files: plain types, for keys of caches."""
        dataset = self.make_dataset([], transform=self._eval_transform, training=False)
        rules = getattr(self, "rules", None)  # of joining tables: which of several images is the first of its view
        own = {"rules": asdict(rules)} if is_dataclass(rules) and not isinstance(rules, type) else {}
        return cast(CaseDataset, dataset).image_settings() | own

    def training_draws(self) -> dict[str, str]:
        """Settings by which training differs from one look at each image, and the value that ends it, as in YAML."""
        steps = self._train_transform.settings()["steps"]
        draws = {
            "balanced_sampling": (self.balanced_sampling, "false"),
            "modality_dropout": (self.modality_dropout > 0, "0"),
            "train_transform": (bool(steps) and steps != self._eval_transform.settings()["steps"], "[]"),
        }
        return {name: value for name, (is_on, value) in draws.items() if is_on}
