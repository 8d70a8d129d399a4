"""The report of a run: complete, self-contained, and honest about what did not hold."""

from dataclasses import replace
from html.parser import HTMLParser
from importlib import metadata
import json

import cv2
import numpy as np
import pytest
from roboadapt_ros.evaluation.machine import machine_facts
from roboadapt_ros.evaluation.recording import encode_jpeg, FilmRecorder
from roboadapt_ros.evaluation.report import page, write_run
from roboadapt_ros.evaluation.results import EpisodeRecord
from roboadapt_ros.evaluation.run_record import (
    DemoEpisode,
    FilmStrip,
    Frame,
    ModelFact,
    Motion,
    RunRecord,
    SwitchRecord,
    Trace,
)
from roboadapt_ros.evaluation.statistics import spread

TASKS = ('lift_red', 'push_blue')
STAGES = ('received', 'preprocessed', 'encoded', 'head', 'bridged', 'governed', 'published')


class _Page(HTMLParser):
    """Collects tags, ids, outside addresses and pictures without a description."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.undescribed = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in ('meta', 'img', 'br', 'path', 'use', 'rect'):
            self.open.append(tag)
        if 'id' in found:
            self.ids.append(found['id'])
        if tag == 'img' and not found.get('alt'):
            self.undescribed += 1
        self.addresses += [
            value
            for name, value in found.items()
            if name in ('src', 'href') and not value.startswith(('data:', '#'))
        ]

    def handle_startendtag(self, tag, attrs):
        if 'id' in dict(attrs):
            self.ids.append(dict(attrs)['id'])

    def handle_endtag(self, tag):
        if tag not in ('path', 'use', 'rect'):
            assert self.open.pop() == tag


def _record():
    rng = np.random.default_rng(0)
    switches = tuple(
        SwitchRecord(
            from_task=TASKS[1 - i % 2],
            to_task=TASKS[i % 2],
            generation=i + 1,
            switch_us=float(10 + i),
            boundary_ms=80.0,
            frames_dropped=0,
            stamp_ns=i,
            speed_rad_s=0.4,
            moving=i > 0,
        )
        for i in range(6)
    )
    episodes = tuple(
        DemoEpisode(
            task=TASKS[i % 2],
            record=EpisodeRecord(
                seed=i, success=i != 3, duration_s=5.0, message='' if i != 3 else 'lost <it>'
            ),
            switch=switches[i] if i else None,
        )
        for i in range(6)
    )
    jpeg = encode_jpeg('scene', np.full((24, 32, 3), 128, np.uint8))
    frames = tuple(
        Frame(camera=camera, caption=caption, jpeg=jpeg)
        for caption in ('0.0 s', '5.0 s: success')
        for camera in ('scene', 'wrist')
    )
    strip = FilmStrip(task=TASKS[0], title='Episode 1.', cameras=('scene', 'wrist'), frames=frames)
    return RunRecord(
        started='2025-01-02T03:04:05',
        wall_s=100.0,
        tasks=TASKS,
        episodes=episodes,
        switches=switches,
        messages={'features': 100},
        mixed=(),
        stages_ms={stage: spread(rng.gamma(2, 3, 50)) for stage in STAGES},
        frame_to_command_ms=spread(rng.gamma(9, 5, 50)),
        motion=Motion(points={'commanded': 10}, used={'commanded velocity': 0.3}, violations=()),
        refused={'stale': 0, 'not_ready': 2},
        strips=(strip,),
        trace=Trace(title='Switch 2.', times_s=(-0.5, 0.0, 0.5), velocities=((0.1,) * 7,) * 3),
        models=(ModelFact(kind='task', name='lift_red', digest='ab' * 32),),
        machine={'cores': 2},
        commands=('make demo',),
    )


def test_summary_has_the_fixed_names():
    summary = _record().summary()
    assert {name: summary['tasks'][name]['episodes'] for name in TASKS} == dict.fromkeys(TASKS, 3)
    assert summary['tasks']['push_blue']['successes'] == 2
    for name in ('mixed_task_messages', 'limit_violations', 'frames_dropped_at_switch'):
        assert summary[name] == 0
    assert (summary['switches'], summary['switch_us_p99'], summary['wall_s']) == (6, 15.0, 100.0)


def test_a_run_is_written_and_latest_points_to_the_newest(tmp_path):
    for name in ('first', 'second'):
        folder = write_run(_record(), tmp_path, name)
    assert (tmp_path / 'latest').resolve() == folder.resolve() == (tmp_path / 'second').resolve()
    assert json.loads((tmp_path / 'latest' / 'summary.json').read_text()) == _record().summary()
    assert (tmp_path / 'first' / 'report.html').is_file()


def test_the_page_needs_nothing_from_outside_and_is_well_formed():
    found = _Page(page(_record()))
    assert found.open == []
    assert found.addresses == []
    assert found.undescribed == 0
    assert len(found.ids) == len(set(found.ids)), 'two plots share an id: one hides the other'


def test_a_model_has_a_note_only_where_there_is_something_to_say():
    assert '<span class="label"></span>' not in page(_record())
    noted = replace(
        _record(), models=(ModelFact(kind='base', name='vit', digest='ab' * 32, detail='intact'),)
    )
    assert '<span class="label">intact</span>' in page(noted)


def test_a_package_of_two_names_is_one_fact(monkeypatch):
    monkeypatch.setattr(metadata, 'version', lambda name: '1.2.3')
    facts = machine_facts()
    assert facts['rclpy'] == '1.2.3'
    assert 'ros-rclpy' not in facts


def test_the_same_record_gives_the_same_page():
    assert page(_record()) == page(_record())


def test_what_others_wrote_is_escaped():
    assert 'lost <it>' not in page(_record())
    assert 'lost &lt;it&gt;' in page(_record())


def test_a_sound_run_says_so_and_an_unsound_one_does_not():
    sound = _record()
    assert 'No message mixed two tasks' in page(sound)
    motion = replace(sound.motion, violations=('measured velocity of panda_joint1 = 9, limit 2',))
    for broken in (
        replace(sound, motion=motion),
        replace(sound, mixed=('features: push_blue under generation 3',)),
        replace(sound, is_complete=False, notes=('The budget ended the run after 6 of 20.',)),
    ):
        text = page(broken)
        assert 'No message mixed two tasks' not in text
        assert 'Not everything held' in text
    assert 'panda_joint1 = 9' in page(replace(sound, motion=motion))
    assert 'must be 0' in page(replace(sound, motion=motion))


@pytest.mark.parametrize(
    'missing',
    [
        {'switches': ()},
        {'episodes': ()},
        {'stages_ms': {}, 'frame_to_command_ms': None},
        {'strips': (), 'trace': None},
    ],
)
def test_a_run_that_broke_off_still_gets_a_page(missing):
    record = replace(_record(), **missing)
    assert _Page(page(record)).open == []
    json.dumps(record.summary(), allow_nan=False)


def _filmed(seconds):
    film = FilmRecorder()
    for index in range(int(seconds * 10) + 1):
        frame = np.full((12, 16, 3), index, np.uint8)
        film.add(index / 10, {'scene': frame, 'wrist': frame})
    return film


def test_a_strip_shows_the_marks_and_fills_the_time_between():
    film = _filmed(5.0)
    film.mark(1.0, 'switched')
    film.end('success')
    strip = film.strip('lift_red', 'Episode 1.', phases=6)
    captions = list(dict.fromkeys(frame.caption for frame in strip.frames))
    assert captions == ['0.0 s', '1.0 s: switched', '2.0 s', '3.0 s', '4.0 s', '5.0 s: success']
    assert strip.cameras == ('scene', 'wrist')
    assert len(strip.frames) == 12


def test_a_short_episode_gives_what_it_has():
    strip = _filmed(0.1).strip('lift_red', 'Episode 1.', phases=6)
    assert len(strip.frames) == 4
    assert FilmRecorder().strip('lift_red', 'none', phases=6).frames == ()


def test_a_jpeg_keeps_the_colour_order():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    decoded = cv2.imdecode(np.frombuffer(encode_jpeg('scene', red), np.uint8), cv2.IMREAD_COLOR)
    assert decoded[8, 8, 2] > 180 > 40 > decoded[8, 8, 0], 'blue where red was'
