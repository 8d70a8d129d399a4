"""The governor as a process: a URDF and a task's envelope narrow what it sends."""

import math
import time

from control_fakes import make_chunk
from fake_arm import FakeArm, MOVE
from graph_watch import wait_for
from node_process import governor_process
import numpy as np
import pytest
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.contract import Envelope
from roboadapt_ros.control.kinematics import Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.ros.convert import to_chunk
from roboadapt_ros.ros.qos import LATCHED
from std_msgs.msg import String

pytestmark = [pytest.mark.processes]
NAMES = robot_limits('panda').joint_names


class SwingingArm(FakeArm):
    """Swings under an envelope, and keeps how fast it is told to be."""

    envelope: Envelope | None = None

    def __init__(self, connection):
        self.speeds: list[float] = []
        super().__init__(connection)
        self.mode = MOVE
        self._urdf_out = self._publisher(String, 'robot_description', LATCHED)

    def describe(self, text):
        self._urdf_out.publish(String(data=text))

    def _on_target(self, message):
        super()._on_target(message)
        self.speeds.append(abs(message.velocity[0]))

    def _publish_chunk(self):
        if not self.sends_chunks:
            return
        now_ns = self._now_ns()
        rows = np.tile(Q_HOME, (8, 1))
        phase = 2.0 * np.pi * (now_ns / 1e9 + 0.1 * np.arange(1, 9)) / 2.0
        rows[:, 0] += 0.2 * np.sin(phase)
        self._chunk_out.publish(to_chunk(make_chunk(rows, now_ns, envelope=self.envelope)))

    def count(self, cause):
        """Return how often the governor counted a cause."""
        newest = self.status[-1]
        return dict(zip(newest.causes, newest.counts, strict=True)).get(cause, 0)

    def fastest(self, seconds=2.5):
        """Return the largest speed of joint 1 that is sent over a swing [rad/s]."""
        time.sleep(0.5)  # until it has braked
        del self.speeds[:]
        time.sleep(seconds)
        assert len(self.speeds) > 50, self.reason
        return max(self.speeds)


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    """Return an arm and the process of an active governor."""
    with Connection(domain_id=find_free_domain()) as connection:
        arm = SwingingArm(connection)
        try:
            with governor_process(connection, tmp_path_factory.mktemp('log'), {}) as process:
                wait_for(lambda: arm.status, 'the governor to report')
                arm.sends_chunks = True
                wait_for(lambda: arm.state == 'tracking', 'motion')
                yield arm, process
        finally:
            arm.close()


def _urdf(speed, names=NAMES):
    limit = f'<limit effort="1" lower="-9" upper="9" velocity="{speed}"/>'
    joints = ''.join(f'<joint name="{name}" type="revolute">{limit}</joint>' for name in names)
    return f'<robot name="panda">{joints}</robot>'


def test_a_task_is_as_slow_as_its_envelope_and_the_next_is_not(graph):
    arm, _ = graph
    assert arm.fastest() > 0.4
    arm.envelope = Envelope(velocity_scale=0.05)
    assert arm.fastest() <= 0.05 * robot_limits('panda').dq_max[0] + 1e-6
    arm.envelope = None
    assert arm.fastest() > 0.4


def test_an_envelope_without_sense_is_counted_and_stops_the_arm(graph):
    arm, _ = graph
    arm.envelope = Envelope(velocity_scale=math.nan)
    wait_for(lambda: arm.count('envelope') > 0, 'a refusal')
    wait_for(lambda: arm.state == 'idle', 'silence')
    arm.envelope = None
    wait_for(lambda: arm.state == 'tracking', 'motion')


def test_a_description_narrows_and_a_bad_one_is_an_error_that_changes_nothing(graph):
    arm, process = graph
    for text in ('<robot', _urdf('nan'), _urdf(0.1, NAMES[1:])):
        arm.describe(text)
        time.sleep(0.2)
    log = process.log_path
    wait_for(lambda: log.read_text().count('The limits are kept') == 3, 'three errors')
    assert 'no turning joint panda_joint1' in log.read_text()
    assert arm.fastest() > 0.4, 'nothing has changed'
    arm.describe(_urdf(0.1))
    wait_for(lambda: 'Limits narrowed by robot_description' in log.read_text(), 'a narrower one')
    assert arm.fastest() <= 0.1
    arm.describe(_urdf(9.0))
    wait_for(lambda: 'allows all that the table' in log.read_text(), 'a wider one')
    assert arm.fastest() <= 0.1, 'nothing makes limits wider again'
    assert process.is_running
