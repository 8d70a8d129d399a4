"""The judge of features, and a short run of the experiment in processes of its own."""

from __future__ import annotations

import numpy as np
import pytest
from roboadapt_interfaces.msg import Features
from roboadapt_ros.bench.feature_judge import FeatureJudge
from roboadapt_ros.bench.full_rate import FullRateConfig, run
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.convert import to_time

RNG = np.random.default_rng(0)
EXPECTED = {name: RNG.standard_normal((3, 16)).astype(np.float32) for name in ('pick', 'place')}


def message(values: np.ndarray, task: str, generation: int = 1) -> Features:
    found = Features(features=values.tolist())
    found.header.stamp = to_time(1_000)
    found.identity.task, found.identity.generation = task, generation
    return found


def test_features_of_the_named_task_are_right() -> None:
    judge = FeatureJudge(EXPECTED)
    for task, values in EXPECTED.items():
        for row in values:
            judge(message(row * (1 + 1e-5), task, generation=len(task)))
    assert (judge.judged, judge.wrong) == (6, [])


def test_numbers_of_another_task_are_found_whatever_the_message_says() -> None:
    judge = FeatureJudge(EXPECTED)
    judge(message(EXPECTED['place'][0], 'pick', generation=7))
    assert 'generation 7 names pick, its numbers are of place' in judge.wrong[0]


def test_numbers_of_no_task_are_wrong() -> None:
    judge = FeatureJudge(EXPECTED)
    judge(message(EXPECTED['pick'][0] * 1.5, 'pick'))
    assert len(judge.wrong) == 1


def test_a_generation_has_one_task() -> None:
    judge = FeatureJudge(EXPECTED)
    judge(message(EXPECTED['pick'][0], 'pick', generation=3))
    judge(message(EXPECTED['place'][0], 'place', generation=3))
    assert judge.wrong == ['generation 3 names two tasks']


def test_one_task_is_not_enough() -> None:
    with pytest.raises(ConfigError, match='2 or more'):
        FullRateConfig(tasks=1)


@pytest.mark.processes
@pytest.mark.slow
def test_switching_under_cameras_serves_no_wrong_features() -> None:
    config = FullRateConfig(
        switches=12, tasks=3, rate_hz=20.0, stage_every=4, pictures=3, engine='torch'
    )
    figures = run(config).figures
    assert figures['switches'] == 12
    assert figures['wrong_task_features'] == 0
    assert figures['features_judged'] >= 12
    assert figures['staged_meanwhile'] >= 1
