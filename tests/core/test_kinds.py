import pytest

from learned_opt import in_context, optimizers
from learned_opt.core.kinds import KINDS, kind_named, kind_of, kind_of_config


def test_there_are_three_kinds():
    assert list(KINDS) == ["optimizer", "function learner", "weight memory"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("optimizer", optimizers.lstm()),
        ("function learner", in_context.learners.lstm()),
        ("weight memory", in_context.weight_memory()),
    ],
)
def test_models_and_configurations_are_known_by_their_kind(name: str, model):
    assert kind_of(model) is kind_of_config(model.config) is kind_named(name)


def test_what_is_of_no_kind_is_refused():
    with pytest.raises(ValueError, match="optimizer"):
        kind_named("optimiser")
    with pytest.raises(TypeError, match="int is nothing that can be meta-trained; give one of: Learned"):
        kind_of(3)
    with pytest.raises(TypeError, match="3 is no configuration"):
        kind_of_config(3)
