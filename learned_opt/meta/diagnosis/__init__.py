"""Why a task never learns: checks of meta-gradients and trajectories, and a monitor during training."""
