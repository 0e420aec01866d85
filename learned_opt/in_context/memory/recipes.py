"""What the shipped weight memory was trained with."""

from learned_opt.in_context.memory.datasets_loss import KIND
from learned_opt.meta.recipes.recipe import Recipe, register_recipes
from learned_opt.meta.settings import Settings

# The noise of the data sets that memories are compared on is such that logistic regression and the support
# vector machines come near the losses that the paper has for them; in meta-training there is more of it.
register_recipes(
    {
        "weight-memory": Recipe(
            summary="XOR of two half-spaces, 4 inputs, 20 to 180 training samples; "
            "MLP of 32 units in 193 cells",
            model=KIND.models.get("weight_memory")(num_inputs=4, learner_sizes=(128, 64)),
            task=KIND.tasks.get("xor_datasets")(num_inputs=4, noise=2.0),
            validation_task=KIND.tasks.get("xor_datasets")(num_inputs=4, noise=1.5),
            settings=Settings.of_code(
                KIND,
                num_meta_steps=5000,
                learning_rate=2e-3,
                warmup_steps=100,
                validate_every=100,
                steps_per_call=25,
            ),
        ),
    }
)
