"""Statistics: intervals and percentiles say what textbooks say."""

import json

import numpy as np
import pytest
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.evaluation.results import EpisodeRecord, EvaluationResult, Through
from roboadapt_ros.evaluation.statistics import percentile, spread, wilson


def test_wilson_of_nine_in_ten_is_the_published_interval():
    """Newcombe (1998), table I gives 0.5958 to 0.9821 for 9 of 10."""
    proportion = wilson(9, 10)
    assert (proportion.low, proportion.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert proportion.rate == 0.9


@pytest.mark.parametrize(('successes', 'trials'), [(0, 10), (10, 10), (1, 1), (0, 1), (499, 500)])
def test_wilson_stays_in_zero_to_one_and_holds_the_rate(successes, trials):
    proportion = wilson(successes, trials)
    assert 0.0 <= proportion.low <= proportion.rate <= proportion.high <= 1.0


def test_without_trials_nothing_is_known():
    proportion = wilson(0, 0)
    assert (proportion.low, proportion.high) == (0.0, 1.0)
    assert np.isnan(proportion.rate)
    assert str(proportion) == '0 of 0'


def test_a_proportion_reads_as_a_sentence():
    assert str(wilson(9, 10)) == '9 of 10 (90 %, 95 % interval 60 to 98 %)'


@pytest.mark.parametrize(('successes', 'trials'), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ConfigError, match='successes'):
        wilson(successes, trials)


def test_a_percentile_is_one_of_the_measurements():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert percentile(values, 50) == 3.0
    assert percentile(values, 99) == 5.0
    assert percentile(values, 0) == 1.0


def test_spread_of_a_hundred_measurements():
    found = spread(np.arange(1.0, 101.0))
    assert (found.count, found.p50, found.p99, found.maximum) == (100, 50.0, 99.0, 100.0)


@pytest.mark.parametrize(('values', 'level'), [([], 50), ([1.0], 101), ([1.0], -1)])
def test_percentiles_of_nothing_or_beyond_are_refused(values, level):
    with pytest.raises(ConfigError):
        percentile(values, level)


def test_an_evaluation_writes_the_fixed_names():
    records = tuple(
        EpisodeRecord(seed=7 + i, success=i != 2, duration_s=4.0 + i) for i in range(4)
    )
    result = EvaluationResult(
        task='lift_red', adapter='none', seed=7, through=Through.ROS, records=records
    )
    written = json.loads(json.dumps(result.to_json()))
    assert (written['episodes'], written['successes']) == (4, 3)
    assert written['through'] == 'ros'
    assert written['wilson_95'] == [wilson(3, 4).low, wilson(3, 4).high]
    assert [record['seed'] for record in written['records']] == [7, 8, 9, 10]
