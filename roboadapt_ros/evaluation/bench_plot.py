"""A benchmark's figures as a picture: ratios in one panel, times in another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from roboadapt_ros.errors import ConfigError

WIDTH_IN, ROW_IN, PANEL_IN, DPI = 7.0, 0.28, 0.9, 130
SECONDS = {'_us': 1e-6, '_ms': 1e-3, '_s': 1.0}
"""How names of times end, also before a percentile, and their unit [s]."""
PERCENTILES = ('_p50', '_p99')
NOISE = ('_iqr', '_ratio_fastest', '_base_ms')
"""How names end that tell about other figures, and are no bar of their own."""


def save_plot(path: Path, bench: str, figures: Mapping[str, float]) -> None:
    """Write a PNG of a benchmark's ratios and times; other figures are left out.

    Args:
        path: File to write.
        bench: Name of the benchmark, for the title.
        figures: By name; `<name>_ratio` may have a `<name>_ratio_iqr`, drawn as its error.

    Raises:
        ConfigError: The file can't be written.
    """
    shown = {name: value for name, value in figures.items() if not name.endswith(NOISE)}
    ratios = {name: value for name, value in shown.items() if '_ratio' in name}
    times = {name: unit * shown[name] for name in shown if (unit := _seconds(name)) is not None}
    panels = [panel for panel in (ratios, times) if panel]
    heights = [PANEL_IN + ROW_IN * len(panel) for panel in panels] or [PANEL_IN]
    figure = Figure(figsize=(WIDTH_IN, sum(heights)), layout='constrained')
    figure.suptitle(f'roboadapt bench {bench}')
    if panels:
        rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, panel in zip(rows[:, 0], panels, strict=True):
            if panel is ratios:
                _draw_ratios(axes, panel, figures)
            else:
                _draw_times(axes, panel)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, format='png')
    except OSError as error:
        raise ConfigError('--plot', str(path), f'cannot be written ({error.strerror})') from error


def _seconds(name: str) -> float | None:
    """Return the unit [s] of a time by its name, None for what is none."""
    for ending in PERCENTILES:
        name = name.removesuffix(ending)
    units = [unit for ending, unit in SECONDS.items() if name.endswith(ending)]
    return units[0] if units else None


def _draw_ratios(axes: Axes, ratios: Mapping[str, float], figures: Mapping[str, float]) -> None:
    errors = [figures.get(f'{name}_iqr', 0.0) / 2 for name in ratios]
    axes.barh(list(ratios), list(ratios.values()), xerr=errors, color='tab:blue', height=0.6)
    axes.axvline(1.0, color='black', linewidth=0.8)
    axes.set_xlabel('ratio (error bar: quartiles of the rounds)')
    _label(axes, [f'{value:.3f}' for value in ratios.values()])


def _draw_times(axes: Axes, times: Mapping[str, float]) -> None:
    axes.barh(list(times), list(times.values()), color='tab:orange', height=0.6)
    axes.set_xscale('log')
    axes.set_xlabel('time [s]')
    _label(axes, [f'{value:.3g} s' for value in times.values()])


def _label(axes: Axes, texts: list[str]) -> None:
    """Write the values behind the bars, the first bar on top."""
    axes.bar_label(axes.containers[-1], texts, padding=4, fontsize=8)  # type: ignore[arg-type]
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(axis='y', labelsize=8)
