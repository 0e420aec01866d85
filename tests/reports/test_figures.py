"""Figures: what they show, and that the same data gives the same bytes."""

import re
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from learned_opt.reports.figures import loss_curves
from learned_opt.reports.meta_figures import meta_training_curve

STEPS = np.arange(101)


def decay(end: float, num_problems: int = 8) -> np.ndarray:
    """Losses that fall from about 1 to about `end` in 100 steps."""
    spread = np.linspace(0.8, 1.25, num_problems)[:, None]
    return spread * end ** (STEPS / 100)


def texts(svg: str) -> list[str]:
    """What is written in a figure, in drawing order; letters are paths, with the text as a comment."""
    return re.findall(r"<!-- (.*?) -->", svg)


def strokes(svg: str) -> dict[str, str]:
    """The colour of a legend's line by its text."""
    legend = svg[svg.index('id="legend_1"') :]
    colors = re.findall(r"stroke: (#[0-9a-f]{6})", legend)
    return dict(zip(texts(legend), colors, strict=True))


def path_points(svg: str, color: str) -> int:
    """The number of points of the longest line of a colour."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke: {color}', svg)
    return max(len(re.findall("[ML]", path)) for path in paths)


# --- loss curves ---


def test_direct_labels_stand_where_the_lines_end():
    curves = {"low": decay(1e-3), "high": decay(1e-1), "middle": decay(1e-2)}
    svg = loss_curves(curves, title="t", highlight=["middle"])
    assert 'id="legend_1"' not in svg
    assert [t for t in texts(svg) if t in curves] == ["high", "middle", "low"]


def test_legend_is_ordered_as_the_curves_end():
    curves = {f"o{i}": decay(end) for i, end in enumerate((0.011, 0.03, 0.01, 0.02))}
    svg = loss_curves(curves, title="t", step_marker=50)
    assert list(strokes(svg)) == ["o1", "o3", "o0", "o2"]
    assert "step 50" in texts(svg)


def test_diverged_curves_are_cut_off_and_named():
    gone, some = decay(0.01), decay(0.02)
    gone[:, 20:] = np.inf
    some[3, 60:] = np.nan
    from_the_start = np.full((8, 101), np.nan)
    curves = {"gone": gone, "some": some, "fine": decay(0.1), "nothing": from_the_start}
    svg = loss_curves(curves, title="t", highlight=["fine", "gone", "some"])
    assert list(strokes(svg))[-1] == "fine"
    assert set(strokes(svg)) == {
        "gone (8 of 8 diverged)",
        "some (1 of 8 diverged)",
        "nothing (8 of 8 diverged)",
        "fine",
    }
    colors = strokes(svg)
    # matplotlib merges points on a straight line, as these are on a logarithmic axis.
    ends = {
        name: re.findall(r"[ML] ([\d.]+)", path)[-1]
        for name, color in colors.items()
        for path in re.findall(rf'<path d="(M[^"]*)" clip-path="[^"]*" style="[^"]*{color}', svg)
        if " L " in path.replace("\n", " ")
    }
    left, right = float(ends["gone (8 of 8 diverged)"]), float(ends["fine"])
    assert left < float(ends["some (1 of 8 diverged)"]) < right


def test_everything_diverged_still_gives_a_picture():
    svg = loss_curves({"sgd": np.full((2, 11), np.nan)}, title="t")
    assert "sgd (2 of 2 diverged)" in texts(svg)


def test_an_exploding_curve_does_not_squeeze_the_others():
    exploding = 10.0 ** np.minimum(STEPS, 30) * decay(1.0)
    labels = texts(loss_curves({"sgd": exploding, "adam": decay(0.05)}, title="t"))
    assert {"0.1", "1"} <= set(labels)
    assert not any("⁰" in label for label in labels)  # no 10³⁰


@pytest.mark.parametrize(
    "losses",
    [
        np.zeros((3, 11)),
        np.ones((3, 11)),
        -np.ones((3, 11)),
        np.ones((1, 1)),
        np.geomspace(1.0, [1e-38, 0.5], 11).T,
        np.full((3, 11), 1e30),
    ],
    ids=["zero", "constant", "negative", "one loss", "many decades", "huge"],
)
def test_unusual_losses_give_a_picture(losses: np.ndarray):
    svg = loss_curves({"adam": losses, "zero": losses * 0}, title="t", step_marker=0)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "adam" in texts(svg)


def test_colours_belong_to_names():
    names = ("adam", "sgd", "mine", "custom")
    curves = {name: decay(0.01) for name in names}
    first = strokes(loss_curves(curves, title="t", highlight=["mine"]))
    second = strokes(loss_curves({n: curves[n] for n in ("custom", "mine")}, title="u", highlight=["mine"]))
    assert second == {name: first[name] for name in ("custom", "mine")}
    assert len(set(first.values())) == 4


def test_highlights_are_thicker():
    widths = [
        float(w)
        for w in re.findall(
            r"stroke: #d7301f; stroke-width: ([\d.]+)",
            loss_curves({"a": decay(0.1), "b": decay(0.01)}, title="t", highlight=["a"]),
        )
    ]
    assert max(widths) == 2.0


def test_only_highlights_have_bands_where_there_are_any():
    curves = {name: decay(end) for name, end in (("a", 0.1), ("b", 0.01), ("c", 0.001))}
    assert loss_curves(curves, title="t").count("fill-opacity") == 3
    assert loss_curves(curves, title="t", highlight=["b"]).count("fill-opacity") == 1


def test_long_curves_are_thinned_and_windows_smooth():
    rng = np.random.default_rng(0)
    noisy = np.exp(rng.normal(size=(2, 5001)))
    svg = loss_curves({"a": noisy}, title="t", highlight=["a"])
    assert path_points(svg, "#d7301f") <= 500
    short = {"a": np.exp(rng.normal(size=(1, 401)))}

    def roughness(window: int) -> float:
        svg = loss_curves(short, title="t", highlight=["a"], window=window)
        path = max(re.findall(r'<path d="([^"]*)"[^>]*stroke: #d7301f', svg), key=len)
        heights = [float(y) for y in re.findall(r"[ML] [\d.-]+ ([\d.-]+)", path)]
        return float(np.abs(np.diff(heights)).mean())

    assert roughness(21) < 0.3 * roughness(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curves": {}}, "no curves"),
        ({"curves": {"a": np.ones(3)}}, r"curves of 'a' have shape \(3,\)"),
        ({"curves": {"a": np.ones((0, 3))}}, r"shape \(0, 3\)"),
        ({"curves": {"a": np.ones((2, 3))}, "window": 2}, "window=2"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        loss_curves(title="t", **arguments)


def test_names_are_taken_literally():
    names = ["_hidden", "a$x$b", "<b> & --> 'q'"]
    svg = loss_curves({name: decay(0.01) for name in names}, title='<i>&"$t$')
    ElementTree.fromstring(svg)
    assert "<b>" not in svg
    assert {"_hidden", "a$x$b"} <= set(texts(svg))
    assert ElementTree.fromstring(svg).get("aria-label") == '<i>&"$t$'


def test_same_data_gives_the_same_bytes_under_any_style():
    import matplotlib

    curves = {"adam": decay(0.01), "mine": decay(0.02)}
    rows = [{"step": 10, "validation_loss": 0.5, "meta_loss": 0.4, "adam_loss": 0.3}]

    def draw() -> tuple[str, str]:
        return loss_curves(curves, title="t"), meta_training_curve(rows, title="t")

    first = draw()
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "x", "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        assert draw() == first
        assert dict(matplotlib.rcParams) == before
    assert not re.search(r"\d{4}-\d\d-\d\d|<metadata", "".join(first))


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'learned-opt\[plots\]'"):
        loss_curves({"a": decay(0.1)}, title="t")
    with pytest.raises(ImportError, match=r"pip install 'learned-opt\[plots\]'"):
        meta_training_curve([{"step": 1}], title="t")


# --- meta-training ---


def test_meta_training_marks_the_best_and_adam():
    losses = [0.9, None, 0.25, float("inf"), 0.4]
    rows = [
        {"step": 100 * i, "validation_loss": loss, "meta_loss": -1.0 if i == 2 else None,
         "adam_loss": 0.3}
        for i, loss in enumerate(losses, start=1)
    ]  # fmt: skip
    written = texts(meta_training_curve(rows, title="Meta-training"))
    assert {"best: 0.25 at meta-step 300", "tuned Adam: 0.3", "meta-loss"} <= set(written)


def test_meta_training_without_anything_finite():
    written = texts(meta_training_curve([{"step": 5, "validation_loss": None}], title="t"))
    assert not any(text.startswith(("best", "tuned")) for text in written)
    with pytest.raises(ValueError, match="no metrics"):
        meta_training_curve([], title="t")
