import pytest
import torch

from medlit.errors import ConfigurationError
from medlit.models import UnimodalClassifier
from tests.medlit.models.small import pictures, randomise_adapters, unimodal


def test_scores_every_image_and_takes_the_maximum():
    model = randomise_adapters(unimodal())
    images = pictures(modalities=["clinic"], per_case=3)
    single = torch.stack([model({"clinic": images["clinic"][:, i : i + 1]}).logits for i in range(3)])
    torch.testing.assert_close(model(images).logits, single.amax(0))


def test_padding_changes_nothing():
    model = randomise_adapters(unimodal())
    images = pictures(modalities=["clinic"], per_case=2)
    mask = {"clinic": torch.tensor([[True, False]] * 3)}
    torch.testing.assert_close(model(images, mask).logits, model({"clinic": images["clinic"][:, :1]}).logits)


def test_adapters_leave_the_backbone_frozen_and_full_fine_tuning_does_not():
    adapted, probe, full = unimodal(), unimodal(adapter=None), unimodal(adapter=None, train_backbone=True)
    names = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert all("mor_" in name or name.startswith("head.") for name in names)
    assert {name for name, p in probe.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}
    assert all(p.requires_grad for p in full.parameters())


def test_full_fine_tuning_with_an_adapter_is_refused():
    with pytest.raises(ConfigurationError, match="adapter: null"):
        unimodal(train_backbone=True)


def test_two_modalities_are_refused():
    with pytest.raises(ConfigurationError, match=r"one modality, got \['a', 'b'\]"):
        UnimodalClassifier(modalities=["a", "b"], num_classes=2, img_size=32, pretrained=False)
