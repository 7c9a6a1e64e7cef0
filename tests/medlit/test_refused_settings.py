"""Settings of the right type that a class refuses: one line that names the class, before anything is written."""

import pytest

from medlit import lightning_cli
from medlit.errors import ConfigurationError
from tests.medlit.command_line import tiny


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--trainer.strategy", "dpp", "^Trainer: .*invalid strategy name: `strategy='dpp'`"),
        ("--trainer.overfit_batches", "2", "^trainer.overfit_batches .* set trainer.limit_train_batches"),
        ("--model.prior", "{clinic: -1, derm: 1}", "^EarlyInterventionTask: priors .* must be finite"),
        ("--model.model.adapter.alphas", "[4, 8]", "^MoRConfig: MoR needs an alpha for each of its ranks"),
        ("--model.model.intervene_at", "99", "^intervene_at must be a block from 0 to 1, got 99"),
    ],
)
def test_it_is_an_error_of_the_configuration(option, value, message, tmp_path):
    words = [*tiny(tmp_path / "data", tmp_path / "run"), option, value]
    with pytest.raises(ConfigurationError, match=message) as error:
        lightning_cli.main(["fit", *map(str, words)])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
