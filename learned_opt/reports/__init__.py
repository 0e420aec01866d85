"""Figures, tables and HTML reports, drawn from data by code that only reads."""

from learned_opt.reports.figures import loss_curves
from learned_opt.reports.heat_maps import heat_map
from learned_opt.reports.meta_figures import meta_training_curve, meta_training_png
from learned_opt.reports.plots import interval_plot, line_plot, scatter_plot
from learned_opt.reports.readouts import readout_plot
from learned_opt.reports.report import Section, read_report, write_report
from learned_opt.reports.style import require_plots
from learned_opt.reports.tables import Column, print_table, terminal_table
from learned_opt.reports.terminal import terminal_curves

__all__ = [
    "Column",
    "Section",
    "heat_map",
    "interval_plot",
    "line_plot",
    "loss_curves",
    "meta_training_curve",
    "meta_training_png",
    "print_table",
    "read_report",
    "readout_plot",
    "require_plots",
    "scatter_plot",
    "terminal_curves",
    "terminal_table",
    "write_report",
]
