"""A run as one HTML page that needs nothing else: text, pictures and plots inside it.

The page is a pure function of a `RunRecord`: the same record gives the same page.
"""

from __future__ import annotations

import base64
from html import escape
import json
from pathlib import Path

from roboadapt_ros.evaluation.plots import ledger_plot, switch_plot, trace_plot
from roboadapt_ros.evaluation.report_parts import figure, microseconds, plural, table
from roboadapt_ros.evaluation.report_style import STYLE
from roboadapt_ros.evaluation.run_record import FilmStrip, RunRecord
from roboadapt_ros.evaluation.statistics import spread
from roboadapt_ros.files import replacing

_COUNTS = {1: 'One', 2: 'Two', 3: 'Three', 4: 'Four'}


def write_run(record: RunRecord, runs: Path, name: str) -> Path:
    """Write `runs/name/{summary.json,report.html}` and point `runs/latest` to it.

    Args:
        record: What the run found.
        runs: Folder of all runs.
        name: Name of this run's folder, e.g. its date and time.

    Returns:
        The run's folder.
    """
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    summary = json.dumps(record.summary(), indent=2, allow_nan=False) + '\n'
    for file, text in (('summary.json', summary), ('report.html', page(record))):
        with replacing(folder / file) as temporary:
            temporary.write_text(text, encoding='utf-8')
    link = runs / 'latest.part'
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    link.replace(runs / 'latest')
    return folder


def page(record: RunRecord) -> str:
    """Return the report as an HTML document."""
    body = '\n'.join(
        (
            _header(record),
            _tasks(record),
            _switching(record),
            _latency(record),
            _safety(record),
            _provenance(record),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>Demo run of {escape(_when(record))}</title>\n<style>{STYLE}</style>\n'
        f'</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _when(record: RunRecord) -> str:
    return record.started.replace('T', ' ')[:16]


def _header(record: RunRecord) -> str:
    moving = sum(switch.moving for switch in record.switches)
    judged, points = sum(record.messages.values()), sum(record.motion.points.values())
    figures = [
        (f'{record.proportion(t).successes} of {record.proportion(t).trials}', t, True)
        for t in record.tasks
    ]
    figures += [
        (str(moving), f'of {len(record.switches)} switches while the arm moved', True),
        _zero(record.frames_dropped, 'frames dropped at a switch'),
        _zero(len(record.mixed), f'mixed-task messages of {judged:,}'),
        _zero(len(record.motion.violations), f'limit violations in {points:,} points'),
    ]
    tiles = ''.join(
        f'<div{"" if good else " class=bad"}>'
        f'<dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>'
        for value, label, good in figures
    )
    notes = ''.join(f'<p class="note">{escape(note)}</p>' for note in record.notes)
    return (
        f'<header><p class="when">{escape(_when(record))}, {record.wall_s:.0f} s</p>'
        f'<h1>{_COUNTS.get(len(record.tasks), len(record.tasks))} tasks, one frozen backbone, '
        'switched in motion</h1>'
        f'<p>{escape(_verdict(record))}</p>{notes}<dl class="figures">{tiles}</dl></header>'
    )


def _zero(count: int, label: str) -> tuple[str, str, bool]:
    """Return a figure that must be zero, and says in words where it is not."""
    return (f'{count:,}', label if count == 0 else f'{label} (must be 0)', count == 0)


def _verdict(record: RunRecord) -> str:
    parts = [
        f'{task} succeeded in {record.proportion(task).successes} of '
        f'{record.proportion(task).trials} episodes'
        for task in record.tasks
    ]
    moving = [switch for switch in record.switches if switch.moving]
    switched = f'The task was switched {plural(len(moving), "time", "times")} while the arm moved'
    if record.switches:
        slowest = max(switch.switch_us for switch in record.switches)
        switched += f', at most {microseconds(slowest)} each'
    sound = (
        'No message mixed two tasks, no frame was lost at a switch, and every command and every '
        "measured joint stayed within the robot's limits."
        if record.is_sound
        else 'Not everything held: the figures below say what did not.'
    )
    return f'On the simulated arm, {" and ".join(parts)}. {switched}. {sound}'


def _tasks(record: RunRecord) -> str:
    parts = ['<section><h2>Tasks</h2>']
    for index, task in enumerate(record.tasks):
        proportion = record.proportion(task)
        parts.append(f'<div class="task{index % 2}"><h3>{escape(task)}</h3>')
        parts.append(f'<p>{escape(str(proportion))}</p>')
        if proportion.trials:
            low, high, rate = (100 * v for v in (proportion.low, proportion.high, proportion.rate))
            parts.append(
                '<div class="interval" aria-hidden="true">'
                f'<i class="colour" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
                f'<b class="colour" style="left:{rate:.1f}%"></b></div>'
                '<div class="scale" aria-hidden="true"><span>0 %</span><span>100 %</span></div>'
            )
        parts.append(_episodes(record, task))
        parts += [_strip(strip) for strip in record.strips if strip.task == task]
        parts.append('</div>')
    return ''.join([*parts, '</section>'])


def _episodes(record: RunRecord, task: str) -> str:
    items = []
    for number, episode in enumerate((e for e in record.episodes if e.task == task), start=1):
        result = episode.record
        words = 'succeeded' if result.success else f'failed ({result.message or "time limit"})'
        began = f', switched from {episode.switch.from_task} in motion' if episode.switch else ''
        text = f'Episode {number}, seed {result.seed}: {words}, {result.duration_s:.1f} s{began}'
        kind = 'colour' if result.success else 'failed'
        items.append(
            f'<li class="{kind}" title="{escape(text)}"><span aria-hidden="true">'
            f'{"" if result.success else "×"}</span>'
            f'<span class="hidden">{escape(text)}</span></li>'
        )
    return f'<ol class="episodes">{"".join(items)}</ol>'


def _strip(strip: FilmStrip) -> str:
    captions = list(dict.fromkeys(frame.caption for frame in strip.frames))
    pictures = {(frame.camera, frame.caption): frame for frame in strip.frames}
    head = ''.join(f'<th scope="col">{escape(caption)}</th>' for caption in captions)
    rows = []
    for camera in strip.cameras:
        cells = []
        for caption in captions:
            frame = pictures.get((camera, caption))
            picture = ''
            if frame is not None:
                data = base64.b64encode(frame.jpeg).decode('ascii')
                alt = f'{camera} camera, {strip.task}, {caption}'
                picture = f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{data}">'
            cells.append(f'<td>{picture}</td>')
        rows.append(f'<tr>{"".join(cells)}</tr>')
    cameras = ' above, '.join(strip.cameras)
    return (
        f'<figure><div class="strip" tabindex="0" role="region" '
        f'aria-label="Film strip of {escape(strip.task)}"><table><tr>{head}</tr>'
        f'{"".join(rows)}</table></div><figcaption>{escape(strip.title)} '
        f'Cameras: {escape(cameras)} below.</figcaption></figure>'
    )


def _switching(record: RunRecord) -> str:
    parts = ['<section><h2>Switching</h2>']
    if not record.switches:
        return '<section><h2>Switching</h2><p>No switch was made.</p></section>'
    active = spread([switch.switch_us for switch in record.switches])
    first = spread([switch.boundary_ms for switch in record.switches])
    text = (
        f'Making the other task active in the running encoder took '
        f'{microseconds(active.p50)} (median) and at most {microseconds(active.maximum)}. '
        f'The first features of the new task followed {first.p50:.0f} ms (median) after '
        'the request, at the next camera frame.'
    )
    parts.append(f'<p>{escape(text)}</p><div class="pair">')
    parts.append(
        figure(
            switch_plot(record.switches, record.tasks),
            f'{len(record.switches)} switches: {text}',
            'Every switch of the run, in order, by the task switched to.',
        )
    )
    if record.trace is not None:
        largest = max(abs(v) for row in record.trace.velocities for v in row)
        parts.append(
            figure(
                trace_plot(record.trace),
                f'Commanded velocities of seven joints around a switch, at most '
                f'{100 * largest:.0f} % of their limit.',
                f'{record.trace.title} Each line is one joint, as it was commanded.',
            )
        )
    return ''.join([*parts, '</div></section>'])


def _latency(record: RunRecord) -> str:
    if not record.stages_ms or record.frame_to_command_ms is None:
        return '<section><h2>Latency</h2><p>No command was observed.</p></section>'
    total = record.frame_to_command_ms
    text = (
        f'From the exposure of a frame to the first command computed from it: {total.p50:.0f} ms '
        f'(median), {total.p99:.0f} ms (p99), over {total.count:,} frames. Every message carries '
        'these times, so they are read from the commands themselves.'
    )
    rows = [
        (name, f'{s.p50:.2f}', f'{s.p99:.2f}', f'{s.maximum:.2f}')
        for name, s in (*record.stages_ms.items(), ('frame to command', total))
    ]
    spoken = '; '.join(f'{name} {p50} and {p99} ms' for name, p50, p99, _ in rows)
    return (
        f'<section><h2>Latency</h2><p>{escape(text)}</p>'
        + figure(
            ledger_plot(record.stages_ms),
            f'Time in each stage, p50 and p99: {spoken}.',
            'Time from the stage before to this one. Bar: median. Tick: 99th percentile.',
        )
        + '<details><summary>In numbers</summary>'
        + table(('stage', 'p50 [ms]', 'p99 [ms]', 'maximum [ms]'), rows)
        + '</details></section>'
    )


def _safety(record: RunRecord) -> str:
    rows = [(name, f'{100 * part:.0f} %') for name, part in record.motion.used.items()]
    refused = ', '.join(f'{cause} {n}' for cause, n in record.refused.items() if n) or 'none'
    seen = ', '.join(f'{stage} {n:,}' for stage, n in record.messages.items())
    failures = ''.join(
        f'<p class="note">{escape(line)}</p>'
        for line in (*record.mixed[:5], *record.motion.violations[:5])
    )
    return (
        "<section><h2>Within limits</h2><p>How much of each of the robot's limits the run used, "
        'at its largest, from commanded points and measured joints.</p>'
        f'{table(("limit", "used at most"), rows)}{failures}'
        f'<p class="label">Messages judged: {escape(seen)}. Counted by the gate and the '
        f'governor, by cause: {escape(refused)}.</p></section>'
    )


def _provenance(record: RunRecord) -> str:
    rows = ''.join(
        f'<tr><th scope="row">{escape(m.kind)}</th><td>{escape(m.name)}<br>'
        f'<code>{escape(m.digest)}</code>'
        + (f'<br><span class="label">{escape(m.detail)}</span>' if m.detail else '')
        + '</td></tr>'
        for m in record.models
    )
    machine = [(name, str(value)) for name, value in record.machine.items()]
    return (
        '<section><h2>How to get these figures</h2>'
        f'<pre><code>{escape(chr(10).join(record.commands))}</code></pre>'
        f'<h3>Models</h3><div class="scroll"><table>{rows}</table></div>'
        f'<h3>Machine</h3>{table(("", ""), machine, head=False)}</section>'
    )
