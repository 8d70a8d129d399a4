"""Plots of a run as SVG text that follows the page's colours and fonts.

matplotlib draws with a small set of stand-in colours, which are then replaced by CSS
variables, so that one drawing serves a light and a dark page. Figures are narrow, because
a phone is: their text stays readable at 360 px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import io
import re
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory
from roboadapt_ros.evaluation.run_record import SwitchRecord, Trace
from roboadapt_ros.evaluation.statistics import Spread

COLOURS = {
    '#010101': 'var(--ink)',
    '#020202': 'var(--quiet)',
    '#030303': 'var(--rule)',
    '#040404': 'var(--first)',
    '#050505': 'var(--second)',
    '#060606': 'var(--fill)',
}
"""Stand-in colour -> what the page calls it."""
INK, QUIET, RULE, FIRST, SECOND, FILL = COLOURS
SERIES = (FIRST, SECOND)
WIDTH_IN = 4.3
STYLE: Any = {
    'svg.fonttype': 'none',
    'svg.hashsalt': 'roboadapt',
    'font.family': 'sans-serif',
    'font.size': 9.0,
    'axes.edgecolor': RULE,
    'axes.labelcolor': QUIET,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.linewidth': 0.8,
    'text.color': INK,
    'xtick.color': QUIET,
    'ytick.color': QUIET,
    'xtick.major.size': 0.0,
    'ytick.major.size': 0.0,
}


def ledger_plot(stages_ms: Mapping[str, Spread]) -> str:
    """Draw p50 (bar) and p99 (line and tick) of each stage of the latency ledger.

    Args:
        stages_ms: Time each stage took [ms], in the order of the ledger.

    Returns:
        An `<svg>` element.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(0.55 + 0.30 * len(stages_ms))
        names = list(stages_ms)
        for row, name in enumerate(names):
            values = stages_ms[name]
            axes.barh(row, values.p50, height=0.5, color=SECOND)
            axes.plot([values.p50, values.p99], [row, row], color=QUIET, linewidth=1.0)
            axes.plot(values.p99, row, marker='|', color=QUIET, markersize=9)
            axes.annotate(
                f'{values.p50:.1f} / {values.p99:.1f}',
                (max(values.p50, values.p99), row),
                xytext=(6, 0),
                textcoords='offset points',
                va='center',
                color=INK,
                fontsize=8.5,
            )
        axes.set_yticks(range(len(names)), names)
        for label in axes.get_yticklabels():
            label.set_color(INK)
        axes.invert_yaxis()
        axes.margins(x=0.0)
        axes.set_xlim(0, 1.28 * max(s.p99 for s in stages_ms.values()))
        axes.set_xlabel('time in stage, p50 / p99 [ms]')
        _vertical_grid(axes)
        return _svg(figure, 'ledger')


def switch_plot(switches: Sequence[SwitchRecord], tasks: Sequence[str]) -> str:
    """Draw each switch: time to become active [us] above, request to first features below.

    Args:
        switches: In the order they were made.
        tasks: Tasks, in the order of their colours.

    Returns:
        An `<svg>` element.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 3.1), layout='constrained')
        top, bottom = figure.subplots(2, 1, sharex=True)
        for axes, values, label in (
            (top, [s.switch_us for s in switches], 'becoming active [µs]'),
            (bottom, [s.boundary_ms for s in switches], 'request to first\nfeatures [ms]'),
        ):
            for index, task in enumerate(tasks):
                places = [i for i, s in enumerate(switches) if s.to_task == task]
                axes.plot(
                    [i + 1 for i in places],
                    [values[i] for i in places],
                    linestyle='none',
                    marker='o',
                    markersize=4.0,
                    color=SERIES[index % len(SERIES)],
                    label=f'to {task}',
                )
            axes.set_ylim(0, 1.15 * max(values, default=1.0))
            axes.set_ylabel(label)
            axes.grid(axis='y', color=RULE, linewidth=0.6)
            axes.set_axisbelow(True)
        top.legend(
            loc='lower left',
            bbox_to_anchor=(0.0, 1.0),
            ncols=len(tasks),
            frameon=False,
            handletextpad=0.1,
            borderaxespad=0.2,
        )
        bottom.set_xlabel('switch')
        bottom.xaxis.get_major_locator().set_params(integer=True)
        return _svg(figure, 'switch')


def trace_plot(trace: Trace) -> str:
    """Draw commanded joint velocities around a switch, as parts of each joint's limit.

    Returns:
        An `<svg>` element.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(2.1)
        for joint in range(len(trace.velocities[0])):
            axes.plot(
                trace.times_s,
                [100 * row[joint] for row in trace.velocities],
                color=SECOND,
                linewidth=1.1,
                alpha=0.35 + 0.09 * joint,
            )
        axes.axvline(0.0, color=FIRST, linewidth=1.2)
        axes.annotate(
            'switch',
            (0.0, 1.0),
            xycoords=blended_transform_factory(axes.transData, axes.transAxes),
            xytext=(4, -2),
            textcoords='offset points',
            va='top',
            color=FIRST,
        )
        largest = max(abs(100 * v) for row in trace.velocities for v in row)
        axes.set_ylim(-1.25 * max(largest, 1.0), 1.25 * max(largest, 1.0))
        axes.set_xlim(trace.times_s[0], trace.times_s[-1])
        axes.set_xlabel('time from the switch [s]')
        axes.set_ylabel('joint velocity\n[% of its limit]')
        axes.grid(axis='y', color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        return _svg(figure, 'trace')


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout='constrained')
    return figure, figure.subplots()


def _vertical_grid(axes: Axes) -> None:
    axes.grid(axis='x', color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines['left'].set_visible(False)


def _svg(figure: Figure, name: str) -> str:
    """Return the figure as an inline element: page colours, own ids, no fixed size."""
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    for stand_in, variable in COLOURS.items():
        text = text.replace(stand_in, variable)
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
    # Ids are unique within one drawing only, and a page holds several.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf'\1#{name}-', text)
    font = r'font-size: \1; font-family: inherit'
    text = re.sub(r'font: [^;"]*?(\d+\.?\d*px) [^;"]*', font, text)
    text = re.sub(r'^<svg ([^>]*?)\bwidth="[^"]*"', r'<svg \1', text, flags=re.DOTALL)
    text = re.sub(r'^<svg ([^>]*?)\bheight="[^"]*"', r'<svg \1', text, flags=re.DOTALL)
    return text.replace('<svg ', '<svg aria-hidden="true" focusable="false" ', 1)
