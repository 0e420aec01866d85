"""The plot style: sizes, and what figures are written as."""

from learned_opt.reports.style import house_style, new_figure, to_png, to_svg


def test_a_figure_has_the_width_of_a_page():
    with house_style():
        assert new_figure(2.0).get_size_inches().tolist() == [5.6, 2.0]


def test_figures_as_svg_and_png():
    with house_style():
        figure = new_figure(2.0)
        assert to_svg(figure, "nothing").startswith('<svg role="img" aria-label="nothing"')
        assert to_png(figure)[1:4] == b"PNG"
