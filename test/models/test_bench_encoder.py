"""The encoder's benchmarks: the arithmetic on known times, and every figure on tiny models."""

from __future__ import annotations

import math
from pathlib import Path
import subprocess
import time

import numpy as np
import pytest
from roboadapt_ros.bench import batch, encoder, memory, peers, switching
from roboadapt_ros.bench.memory import memory_figures, process_memory
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bench.timing import interleave, Timings
from roboadapt_ros.errors import BringupError, ConfigError
from roboadapt_ros.evaluation.bench_plot import save_plot
from roboadapt_ros.learning.progress import silent

TINY = {'image_size': 64, 'threads': 1}
NAMES = {'vit': 'test_vit', 'resnet': 'test_resnet', 'nfnet': 'test_nfnet'}


@pytest.fixture
def no_peers(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(peers, 'PROGRAM', tmp_path / 'nothing')


def _finite(figures) -> bool:
    return all(math.isfinite(value) for value in figures.values())


def test_ratios_are_taken_round_by_round() -> None:
    timings = Timings({'a': np.array([2.0, 4.0, 3.0]), 'b': np.array([1.0, 1.0, 1.0])})
    assert timings.ratio('a', 'b') == 3.0
    assert timings.ratio_of_fastest('a', 'b') == 2.0
    assert timings.ratio_iqr('a', 'b') == 1.0


def test_what_slows_a_whole_round_down_does_not_change_the_ratio() -> None:
    quiet = Timings({'a': np.full(5, 2.2), 'b': np.full(5, 2.0)})
    load = np.array([1.0, 3.0, 1.0, 2.0, 7.0])
    loaded = Timings({name: times * load for name, times in quiet.seconds.items()})
    assert loaded.ratio('a', 'b') == pytest.approx(quiet.ratio('a', 'b'))


def test_what_is_compared_takes_turns_and_changes_places() -> None:
    calls: list[str] = []
    timings = interleave({name: lambda n=name: calls.append(n) for name in 'ab'}, rounds=2)
    assert ''.join(calls[-4:]) in ('abba', 'baab')
    assert all(len(times) == 2 for times in timings.seconds.values())


def test_times_are_those_of_the_calls() -> None:
    timings = interleave({'nap': lambda: time.sleep(0.002), 'none': lambda: None}, rounds=3)
    assert timings.median_s('nap') >= 0.002
    assert timings.figures('x', 'nap', 'none')['x_ms'] >= 2.0


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ConfigError, match='rounds'):
        interleave({'a': lambda: None}, rounds=0)


def test_memory_is_read_from_the_system() -> None:
    text = '00400000-7ff rollup\nRss: 30 kB\nPss: 9 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 6 kB\n'
    assert process_memory(text) == {'uss': 10 * 1024, 'rss': 30 * 1024}


def test_memory_of_all_beyond_one_by_their_bytes() -> None:
    figures = memory_figures(
        32,
        one={'uss': 100.0, 'rss': 150.0},
        all_={'uss': 211.0, 'rss': 260.0},
        tensors=100.0,
        engine=100.0,
    )
    assert figures['resident32_ratio'] == pytest.approx(1.11)
    assert figures['resident32_rss_ratio'] == pytest.approx(1.10)
    assert figures['resident32_held_ratio'] == 1.0


def test_every_family_has_its_figures() -> None:
    config = encoder.EncoderConfig(**NAMES, **TINY, rounds=1, onnx=False, node=False, peers=False)
    figures = encoder.run(config).figures
    for family in NAMES:
        for count in (1, 8):
            assert figures[f'{family}_batch{count}_ratio'] > 0
    assert _finite(figures)


def test_onnx_runtime_and_8_bits_have_their_figures() -> None:
    """The 8-bit engine refuses graphs whose error nobody measured: the bench must measure it."""
    config = encoder.EncoderConfig(vit=NAMES['vit'], **TINY, rounds=1)
    figures = encoder._family(config, 'vit', silent)
    assert figures['onnx_parity_vit'] < 1e-4
    assert 0.0 < figures['int8_feature_error'] < 0.2
    assert figures['int8_speedup'] > 0.0


def test_a_batch_has_its_figures_and_says_how_to_get_the_peers(no_peers) -> None:
    config = batch.BatchConfig(model='test_vit', **TINY, tasks=3, rounds=1)
    result = batch.run(config)
    for name in ('mixed3_ratio', 'shared_prefix3_ratio', 'shared_top3_ratio'):
        assert result.figures[name] > 0
    assert _finite(result.figures)
    assert 'make peers' in result.notes[0]


def test_resident_tasks_are_measured_in_a_process_of_their_own() -> None:
    figures = memory.run(memory.MemoryConfig(model='test_vit', **TINY, tasks=4, runs=1)).figures
    assert {'resident4_ratio', 'resident4_rss_ratio', 'resident4_held_ratio'} <= figures.keys()
    # One hidden unit more than the tensors have, see `rows.STEADY`.
    assert 1.0 < figures['resident4_held_ratio'] < 1.05
    assert figures['process_one_task_mb'] > 10
    assert _finite(figures)


def test_switches_among_resident_tasks_while_encoding(no_peers) -> None:
    config = switching.SwitchConfig(model='test_vit', **TINY, resident=3, resident_switches=20)
    result = switching.run_before(config)
    assert result.figures['resident3_switch_us_p99'] > 0
    assert result.figures['resident3_encodes_meanwhile'] > 0
    assert 'make peers' in result.notes[0]


def test_the_peers_figures_are_those_of_their_program(monkeypatch) -> None:
    def fake(words, **_):
        Path(words[words.index('--json') + 1]).write_text('{"peft_set_adapter_us": 5000.0}')
        return subprocess.CompletedProcess(words, 0, '', '')

    monkeypatch.setattr(peers, 'find_python', lambda: Path('python'))
    monkeypatch.setattr(peers.subprocess, 'run', fake)
    config = switching.SwitchConfig(model='test_vit', **TINY, resident=2, resident_switches=5)
    figures = switching.run_before(config).figures
    slowest_us = figures['resident2_switch_us_p99']
    assert figures['faster_than_peft'] == pytest.approx(5000.0 / slowest_us)


def test_peers_that_fail_are_an_error_with_their_last_word(monkeypatch) -> None:
    def fake(words, **_):
        return subprocess.CompletedProcess(words, 1, '', 'Trace\nValueError: no such rank\n')

    monkeypatch.setattr(peers, 'find_python', lambda: Path('python'))
    monkeypatch.setattr(peers.subprocess, 'run', fake)
    with pytest.raises(BringupError, match='no such rank'):
        peers.measure(['switch'], rounds=1, threads=1)


@pytest.mark.parametrize(
    ('config', 'changes', 'named'),
    [
        (encoder.EncoderConfig, {'rounds': 0}, 'rounds'),
        (batch.BatchConfig, {'tasks': 0}, 'tasks'),
        (memory.MemoryConfig, {'tasks': 1}, 'tasks'),
        (memory.MemoryConfig, {'runs': 0}, 'runs'),
        (switching.SwitchConfig, {'resident': 1}, 'resident'),
    ],
)
def test_settings_that_make_no_sense_are_refused(config, changes, named) -> None:
    with pytest.raises(ConfigError, match=named):
        config(**changes)


def test_parts_of_a_result_are_put_together() -> None:
    first = BenchResult(bench='switch', figures={'a': 1.0}, notes=('one',))
    both = first.plus(BenchResult(bench='switch', figures={'b': 2.0}, notes=('two',)))
    assert both.figures == {'a': 1.0, 'b': 2.0}
    assert both.notes == ('one', 'two')
    assert both.to_json().keys() == {'bench', 'machine', 'figures'}


def test_figures_are_drawn(tmp_path) -> None:
    file = tmp_path / 'deep' / 'encoder.png'
    figures = {'vit_batch1_ratio': 1.02, 'vit_batch1_ratio_iqr': 0.1, 'switch_us_p99': 7.0}
    save_plot(file, 'encoder', figures)
    assert file.read_bytes().startswith(b'\x89PNG')
    save_plot(file, 'transport', {'frames': 3.0})
    with pytest.raises(ConfigError, match='--plot'):
        save_plot(file / 'below_a_file.png', 'encoder', figures)
