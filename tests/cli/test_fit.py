"""`learned-opt fit`, with a network of a few numbers in place of the large one."""

import jax.numpy as jnp
import pytest

from learned_opt import datasets, tasks
from learned_opt.cli.main import main

pytest.importorskip("grain")


def _tiny(num_words, *, hidden_size):
    del hidden_size

    def answers(params, state, batch, is_training):
        scores = jnp.sum(params[batch["choices"]], axis=-1)
        loss = -scores[:, 0]
        return tasks.Answers(loss, jnp.argmax(scores, -1) == batch["answer"]), state

    return tasks.StreamedTask(lambda key, batch: (jnp.zeros(num_words), ()), answers, ("what",))


def test_visual7w_is_fitted_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    datasets.write_sample("telling", tmp_path, number=6, size=(16, 12))
    (tmp_path / "images" / "v7w_1.jpg").unlink()
    monkeypatch.setattr(tasks, "question_answerer", _tiny)
    words = f"fit visual7w --data-dir {tmp_path} --image-size 8 --batch-size 3 --num-steps 2 --period 1"
    words += f" --optimizer adam --learning-rate 0.01 --max-skipped 0.5 --directory {tmp_path / 'run'}"
    main(words.split())
    said = capsys.readouterr().out
    assert "6 samples of train, 6 of val" in said
    assert "1 of 6 samples could not be read" in said  # in one epoch
    main(words.split())
    assert "1 of 6 samples could not be read" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(words.replace("--learning-rate 0.01", "").split())
    assert "adam needs a learning rate: give --learning-rate" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*words.split(), "--seed", "1"])
    assert "holds another run, with seed=0" in capsys.readouterr().err


def test_no_data(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "imagenet2012", "--data-dir", str(tmp_path)])
    assert f"there is no imagenet2012 in {tmp_path}" in capsys.readouterr().err
