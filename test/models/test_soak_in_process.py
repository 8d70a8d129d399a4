"""The demo tasks on the strict rig: no error with the governor, errors without it."""

from __future__ import annotations

import pytest
from roboadapt_ros.bench.soak import run_alone, SoakConfig
from roboadapt_ros.bringup.paths import models_dir

pytestmark = pytest.mark.slow


def test_governed_the_tasks_raise_no_error_and_succeed():
    config = SoakConfig(minutes=0.2, switches=4, in_process=True)
    figures = run_alone(models_dir(), config).figures
    assert figures['robot_errors'] == figures['limit_violations'] == 0
    assert figures['mixed_messages'] == 0
    assert figures['switches'] >= 4
    assert figures['successes'] > 0


def test_without_the_governor_the_same_tasks_raise_errors():
    config = SoakConfig(minutes=0.1, switches=1, governor=False)
    figures = run_alone(models_dir(), config).figures
    assert figures['error_joint_motion_generator_velocity_discontinuity'] > 10
    assert figures['robot_errors'] > 10
    assert figures['limit_violations'] > 10
