"""What is measured of each shipped optimizer, and what its card says beside the figures."""

from benchmarks.release.claims.claim import Claim, Claims

_RECOVERY = "--num-steps 16 --task.num-measurements 256 --task.num-atoms 512"

_GROUP = "--num-steps 100 --task.penalty group --task.group-size 5"

_TWO_LAYERS = "--num-steps 100 --task.hidden-sizes 32 32 --task.activation relu"

_MNIST_RELU = "--num-steps 100 --task.dataset mnist --task.activation relu"

_CONTROLLER_MEASURED = (
    Claim("digits, 20 sigmoid units, step 100", "--task classification"),
    Claim("digits, 20 sigmoid units, step 1,000", "--task classification --num-steps 1000"),
    Claim(
        "MNIST, 20 ReLU units, step 1,000",
        "--task classification --task.dataset mnist --task.activation relu --num-steps 1000",
    ),
    Claim(
        "Fashion-MNIST, two layers of 32 tanh units, step 300",
        "--task classification --task.dataset fashion_mnist --task.hidden-sizes 32 32 --task.activation tanh "
        "--num-steps 300",
    ),
    Claim(
        "10-d quadratics of condition number 100, step 1,000",
        "--task quadratic --task.condition-number 100 --num-steps 1000 --num-problems 128",
    ),
)

_UNMEASURED = (
    "Not measured: more than 280,000 params, a GPU, bfloat16 and fine-tuning beyond short stress runs, and "
    "test losses beyond the rows here and the suite `generalization`."
)

_NOISE = "--task quadratic --wrap gradient_noise --task.deviation"

_QUADRATICS_MEASURED = (
    Claim("10-d quadratics, step 100 (the horizon it was trained for)", "--task quadratic"),
    Claim("20-d quadratics, step 100", "--task quadratic --task.dim 20"),
    Claim("10-d quadratics with gradient noise of 0.1, step 100", f"{_NOISE} 0.1"),
    Claim("the same with gradient noise of 1", f"{_NOISE} 1"),
)

OPTIMIZERS = {
    "general": Claims(
        summary="Orthogonalised and Adam directions, with a controlled step for each tensor and no learning "
        "rate: the default.",
        size="16 to 40,000 parameters",
        research=True,
        measured=_CONTROLLER_MEASURED,
        known_failures=(
            "It was made by research code: for orthogonalised directions seven gains, the best of some 90 "
            "settings on 26 small families, for runs of 113 to 1,280 steps; for Adam's the evolved theta of "
            "general-lite. No run of a recipe is shipped yet; docs/research/default_optimizer.md says how. "
            "Digits, MNIST, Fashion-MNIST and quadratics are among these families.",
            _UNMEASURED,
            "Of 39 tasks of the suite `generalization` it won 85 % against Adam with the best of 13 rates, "
            "82 % with num_steps, and 59 and 54 % against AdamW with a tuned cosine. With num_steps it ends "
            "at 7.6 times tuned Adam's loss in Rosenbrock's valley. Under stress it stays at chance, as "
            "general-lite does, where each tensor is in another unit, from a thousandth to a thousand times "
            "as large. With one controller for all tensors, as it was before, it lost networks of sine "
            "units, a family held out in its making, by 355 times.",
            "Problems that can be solved exactly are won less often than noisy ones: 38 % of the former and "
            "78 to 94 % of the latter on the families that its gains were chosen on, with one controller.",
            "In runs of 100 steps it wins and loses equally often.",
            "On two cores an update of four matrices of 512x512 takes 3.3 times optax.adam's; with all of "
            "them orthogonalised, which is done to larger matrices on accelerators only, 73 times. What "
            "large ones lose by that was not measured.",
        ),
    ),
    "general-lite": Claims(
        summary="The same without matrix products: Adam directions with an evolved step for each tensor.",
        size="16 to 40,000 parameters",
        research=True,
        measured=_CONTROLLER_MEASURED,
        known_failures=(
            "It was evolved by research code, and no run of a recipe is shipped yet; "
            "docs/research/default_optimizer.md says how. Digits, MNIST, Fashion-MNIST and quadratics are "
            "among what it was evolved on, in smaller networks, for up to 640 steps.",
            _UNMEASURED,
            "Of 23 held-out families it won 52 % against Adam with the best of 13 rates without num_steps, "
            "and 65 % with it, where the rule at zero theta won 43 and 65 %. Smooth fits and "
            "ill-conditioned least squares are among the lost ones, and a deep network on a few samples by "
            "6,000 times in the loss.",
            "On two cores an update of four matrices of 512x512 takes 3.4 times optax.adam's. With several "
            "devices 120 small tensors take ten times as long to compile as Adam's, with one as long.",
        ),
    ),
    "lstm-quadratic": Claims(
        summary="Coordinatewise LSTM on quasi-Newton steps of memory two, for Gaussian quadratics.",
        size="10 to 20 parameters",
        measured=(
            Claim("10-d quadratics, step 100 (the horizon it was trained for)"),
            Claim("10-d quadratics, step 200", "--num-steps 200"),
            Claim("10-d quadratics, step 1,000", "--num-steps 1000 --num-problems 256"),
            Claim("20-d quadratics, step 100", "--task.dim 20"),
            Claim("10-d quadratics of condition number 100, step 100", "--task.condition-number 100"),
        ),
        known_failures=(
            "It is a corrected quasi-Newton step: with meta-parameters of zero, which is L-BFGS of memory "
            "two without a line search, it ends at 0.0217 on the problems of the first row, and meta- "
            "training brings it to 0.0154. Zero meta-parameters with a memory of 5 end at 0.00056, of 10 at "
            "2e-16.",
            "At equal gradients it is on a par with L-BFGS of memory two and a line search (SciPy's: 0.023 "
            "after 100 gradients on the first 500 of these problems, in the median 9e-8). Conjugate "
            "gradients end at 1e-5 after 10 steps: for quadratics that are known to be such, take them.",
            "The best swept baseline is momentum of 0.9; with its coefficient swept too, 0.95 ends at 0.197 "
            "at step 100, 0.112 at step 200 and 0.055 at step 1,000, on the problems of the first row.",
            "It is for deterministic losses: with noise in the gradient the curvatures that it reads are "
            "mostly noise; lstm-quadratic-noisy was trained for that.",
            "The mean loss is carried by the few worst-conditioned problems; the standard error is large.",
        ),
    ),
    "lstm-quadratic-noisy": Claims(
        summary="Coordinatewise LSTM on quasi-Newton steps of memory four, for noisy quadratics.",
        size="10 to 20 parameters",
        measured=_QUADRATICS_MEASURED,
        known_failures=(
            "With gradient noise of 1 it is behind swept baselines by half, as quasi-Newton steps are: it is "
            "for noise that is small beside the first gradients.",
            "On 512 other problems it ends at 0.013 without noise, 0.23 with 0.1 and 0.79 with 1, where "
            "L-BFGS of memory two ends after as many gradients, those of its line searches too, at 0.023, "
            "0.43 and 1.2, and without a line search at 0.025, 300 and 6,700. Meta-parameters of zero with "
            "this memory, and steps that grow threefold at most, end at 0.006, 0.25 and 0.81 on 256 of them: "
            "what meta-training adds is small, and without noise it takes away.",
            "A fifth of the meta-gradients were not finite and were skipped in its training.",
            "Conjugate gradients end at 1e-5 after 10 steps: for quadratics that are known to be such, and "
            "known without noise, take them.",
            "The mean loss is carried by the few worst-conditioned problems; the standard error is large.",
        ),
    ),
    "coordinatewise-quadratic": Claims(
        summary="Plain coordinatewise LSTM, trained with the rate of convergence, for Gaussian quadratics.",
        size="10 to 20 parameters",
        measured=_QUADRATICS_MEASURED,
        known_failures=(
            "Of each coordinate it sees the gradient alone, and knows of no other: lstm-quadratic, whose "
            "steps are of quasi-Newton, ends at a twelfth of its loss. In the mean it is a fifth ahead of "
            "swept momentum, since the worst-conditioned problems carry the mean; in the mean of logarithms "
            "it is at a sixteenth of swept Adam.",
            "With gradient noise of 1 it ends above swept baselines.",
            "The rate of convergence in its objective brought nothing that can be told: the same recipe "
            "without it ended at a validation loss of 0.00057, with it at 0.00084, one seed each; over five "
            "seeds of smaller LSTMs the ratio is 0.95, with an interval from 0.83 to 1.1.",
        ),
    ),
    "dnc-quadratic": Claims(
        summary="LSTM with a memory that all coordinates share, trained likewise, for Gaussian quadratics.",
        size="10 to 20 parameters",
        measured=_QUADRATICS_MEASURED,
        known_failures=(
            "It is no better than coordinatewise-quadratic, an LSTM of as many numbers: the memory brings "
            "nothing here that can be told. In the suite `memory`, over three seeds, such rules are ahead on "
            "sparse coding, and level on quadratics.",
            "With gradient noise of 1 it ends above swept baselines, and with 0.1 as high as they.",
        ),
    ),
    "dnc-sparse-coding": Claims(
        summary="LSTM with a memory that all coordinates share, correcting proximal steps, for the LASSO.",
        size="50 to 100 parameters",
        measured=(
            Claim("LASSO 25x50, step 100 (the horizon it was trained for)"),
            Claim("LASSO 25x50, step 1,000", "--num-steps 1000"),
            Claim("LASSO 50x100, step 100", "--task.num-measurements 50 --task.num-atoms 100"),
            Claim("25x50 with the group penalty, step 100", _GROUP),
        ),
        known_failures=(
            "lstm-sparse-coding is better throughout. Over 512 LASSO problems the relative gap at step 100 "
            "has a mean of 0.031, a median of 0.006 and is at most 0.32, where FISTA has 0.026, 0.011 and "
            "0.17, ISTA 0.59 in the mean, and lstm-sparse-coding 1e-4.",
            "The memory brings nothing here that can be told: an LSTM of 34 units in its place, by the same "
            "recipe, ends at a validation loss of 0.01730, with it at 0.01724, and at a mean gap of 0.037.",
            "It does not come to rest at the optimum: at step 1,000 its mean gap is 0.0027, that of "
            "lstm-sparse-coding 9e-9.",
            "It was meta-trained once, with one seed, on Gaussian dictionaries of 25x50 with columns of norm "
            "1 and a weight of 0.005. Its steps are sized for these curvatures: others were not measured.",
            "It needs the proximal operator: without `prox=` it knows nothing of the penalty.",
        ),
    ),
    "lstm-sparse-coding": Claims(
        summary="Coordinatewise LSTM that sets the sizes of proximal steps, for sparse coding objectives.",
        size="50 parameters",
        measured=(
            Claim("LASSO 25x50, step 100", "--num-steps 100"),
            Claim("LASSO 25x50, step 1,000", "--num-steps 1000"),
            Claim("25x50 with the l0 penalty, step 100", "--num-steps 100 --task.penalty l0"),
            Claim("25x50 with the group penalty, step 100", _GROUP),
        ),
        known_failures=(
            "On a few problems in a hundred it circles until its safeguard acts, from step 101 on: over 512 "
            "LASSO problems the relative gap has a mean of 1e-4 at step 100 (FISTA: 3e-2) and of 6e-9, at "
            "most 2e-7, at step 1,000 (FISTA: 7e-8, at most 4e-6); with groups of five 6e-4 and 9e-9, at "
            "most 3e-6. The medians are 0 in float32 from step 100.",
            "With the l0 penalty it ends where the descent leads: orthogonal matching pursuit, which solves "
            "least squares, finds better codes.",
            "It was meta-trained on Gaussian dictionaries of 25x50 with columns of norm 1 and a weight of "
            "0.005, groups of five. With columns of norm 1.5 it diverges: divide them by their norms. Other "
            "sizes, weights and curvatures were not measured.",
            "It needs the proximal operator: without `prox=` it knows nothing of the penalty.",
        ),
    ),
    "lstm-sparse-recovery": Claims(
        summary="Coordinatewise LSTM that recovers sparse codes in 16 steps from dictionaries new to it.",
        size="128 to 512 parameters",
        measured=(
            Claim("recovery 64x128 in 16 steps", "--num-steps 16"),
            Claim("recovery 256x512 in 16 steps", _RECOVERY),
            Claim("the same at an SNR of 20 dB", f"{_RECOVERY} --task.snr-db 20"),
            Claim("the same, ill-conditioned", f"{_RECOVERY} --task.dictionary ill_conditioned"),
            Claim("64x128, patches of photographs", "--num-steps 16 --task.dictionary natural_images"),
            Claim("256x512, patches of photographs", f"{_RECOVERY} --task.dictionary natural_images"),
        ),
        known_failures=(
            "It minimises no objective: its thresholds follow the residual, and its step sizes were trained "
            "for codes of which about a tenth is active and for a penalty of weight 0.1.",
            "It was meta-trained on dictionaries of 64x128 with columns of norm 1. With columns of norm 1.5 "
            "it diverges: divide them by their norms. On patches of photographs it diverges on half of the "
            "problems of 256x512, which are worse conditioned.",
            "Ill-conditioned dictionaries (50) gain 11 dB over FISTA in 16 steps, but LISTA, trained for the "
            "one dictionary that it is tried on, is 20 dB better still; it needs 24 to 50 steps for that.",
            "With noise the error no longer falls after about 16 steps, and rises slowly after 50.",
        ),
    ),
    "lstm-mnist": Claims(
        summary="Coordinatewise LSTM on normalised gradients for small MLPs on MNIST.",
        size="15,910 to 31,810 parameters",
        measured=(
            Claim("MNIST, 20 sigmoid units, step 100", "--extra-steps 100"),
            Claim("MNIST, 20 sigmoid units, step 200", "--num-steps 200"),
            Claim("MNIST, 40 sigmoid units, step 100", "--task.hidden-sizes 40"),
            Claim("MNIST, 20 ReLU units, step 100", "--task.activation relu"),
        ),
        known_failures=(
            "On ReLU units, which it was not trained on, it ends 1.09 times above the best swept baseline at "
            "step 100 and never reaches swept Adam's loss.",
            "Its third input is the size of the gradients: networks whose gradients are scaled otherwise are "
            "another problem to it. lstm-general sees no scale.",
            "Without decay a conv net (8 and 16 channels, ReLU) diverged between steps 5,000 and 10,000; "
            "20 ReLU units, two layers of 20, and batches of 32 did not, one seed each. Built with "
            "num_steps=10_000 it did not diverge on the conv net, on 40 sigmoid units and on Fashion-MNIST: "
            "losses 0.017, 0.013 and 0.25, test accuracies 0.978, 0.965 and 0.865 at step 10,000, a seed "
            "each. Give num_steps for long runs: on 20 sigmoid units it then ends at 0.113 at step 2,000, at "
            "0.131 without it, and swept Adam at 0.146 (five seeds).",
            "On Rosenbrock's function it diverges at learning_rate=1.",
        ),
    ),
    "dnc-mnist": Claims(
        summary="LSTM with a memory a tensor, for small networks on principal components of MNIST.",
        size="570 to 15,910 parameters",
        measured=(
            Claim("MNIST, 24 components, 16 sigmoid units, step 100", "--num-problems 32"),
            Claim("the same with 16 ReLU units", "--num-problems 32 --task.activation relu"),
        ),
        known_failures=(
            "On pixels it is behind: with 20 sigmoid units it ends at 0.407 at step 100 and a test accuracy "
            "of 88.8 %, where lstm-mnist has 0.304 and 92.7 %, and swept NAG 0.325 and 92.3 %, on the same "
            "five problems. It was trained on 24 principal components, whose gradients are of another size.",
            "On the problems of the first row `general`, which is made for longer runs, ends at 0.505 and a "
            "test accuracy of 86 %.",
            "It was meta-trained once, with one seed, for 100 steps; longer runs were not measured. That the "
            "memory helps is not shown: in the suite `memory` LSTMs of as many numbers are level here.",
        ),
    ),
    "lstm-general": Claims(
        summary="Coordinatewise LSTM on normalised gradients, trained under random scaling on digits.",
        size="1,510 to 15,910 parameters",
        measured=(
            Claim("digits, 20 sigmoid units, step 100"),
            Claim("digits, 20 sigmoid units, step 1,000", "--num-steps 1000"),
            Claim("digits, 20 ReLU units, step 100", "--task.activation relu"),
            Claim("MNIST, 20 sigmoid units, step 100", "--task.dataset mnist"),
        ),
        known_failures=(
            "It is no general optimizer, in spite of its name: a small conv net on 10,000 images of "
            "CIFAR-10 it leaves at chance (500 steps), where Adam at 1e-3 reaches a test accuracy of 47 %; "
            "its steps are ten times too long there.",
            "On MNIST it ends 1.01 times above the best swept baseline (NAG) at step 100; its advantage "
            "there is a fast start, and lstm-mnist is better.",
            "It takes steps of at most 0.1 a coordinate, sized for params of order one; set learning_rate "
            "for others.",
            "Only classifiers of up to 15,910 params with one hidden layer were measured, to 1,000 steps on "
            "digits and to 100 on MNIST.",
        ),
    ),
    "mlp-general": Claims(
        summary="Small MLP on moments of the gradient, evolved on digits: four numbers of state a parameter.",
        size="1,510 to 15,910 parameters",
        measured=(
            Claim("digits, 20 sigmoid units, step 100", "--num-steps 100"),
            Claim("digits, 20 sigmoid units, step 1,000", "--num-steps 1000"),
            Claim("digits, 20 ReLU units, step 100", "--num-steps 100 --task.activation relu"),
            Claim("digits, two layers of 32 ReLU units, step 100", _TWO_LAYERS),
            Claim("MNIST, 20 sigmoid units, step 100", "--num-steps 100 --task.dataset mnist"),
            Claim("MNIST, 20 sigmoid units, step 1,000", "--task.dataset mnist --num-steps 1000"),
            Claim("MNIST, 20 ReLU units, step 100", _MNIST_RELU),
        ),
        known_failures=(
            "It is no general optimizer, in spite of its name: of 18 tasks unlike its own it beat Adam with "
            "the best of 13 rates on 11 %, and a small conv net on 10,000 images of CIFAR-10 it leaves at "
            "chance.",
            "At step 100 it ends 1.61 times above the best swept baseline on 20 sigmoid units of digits, "
            "1.05 times on 20 ReLU units, and on MNIST, which it was not trained on, 1.14 times with sigmoid "
            "and 1.20 times with ReLU units. In longer runs it may win or lose: 1.84 times above at step "
            "1,000 on these digits, 0.34 times on others (--seed 2000), 1.62 times on MNIST. lstm-general, "
            "with twenty times its state, starts faster.",
            "Its first stage alone, mlp-general-short, reaches 0.036 on those digits at step 100, but 14 "
            "times swept Adam's loss at step 1,000, and 1.3 to 1.6 times the best baseline's on MNIST.",
            "It was meta-trained once, with one seed, on classifiers of 1,510 params and batches of 128, "
            "for up to 400 steps. Evolution is noisy: validations between checkpoints differ by a third.",
            "The second stage was added after the first was seen on the problems above. On others (--seed "
            "2000) the ratios on digits are 1.60, 0.34, 1.05 and 0.35.",
            "Its steps are sized for params of order one; set learning_rate for others.",
        ),
    ),
}
