"""The simulated rig as a node: its services, its faults, and how it takes a stream."""

from __future__ import annotations

import time

from graph_watch import wait_for
import numpy as np
import pytest
from rig_in_process import RigInProcess
from roboadapt_ros.nodes.rig_output import sample_stamps
from roboadapt_ros.ros.images import to_rgb
from roboadapt_ros.ros.qos import COMMAND, IMAGE, STATE, STATUS
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

NAMES = [f'panda_joint{i}' for i in range(1, 8)]
FINGERS = ['panda_finger_joint1', 'panda_finger_joint2']


class Bench(RigInProcess):
    """A running node, and another that speaks to it."""

    def __init__(self, domain, parameters):
        super().__init__(domain, parameters)
        self.joints, self.fingers, self.images = [], [], {'scene': [], 'wrist': []}
        subscribe = self.node.create_subscription
        subscribe(JointState, 'joint_states', self.joints.append, STATE)
        subscribe(JointState, 'gripper/joint_states', self.fingers.append, STATUS)
        for name, kept in self.images.items():
            subscribe(Image, f'cameras/{name}/image_raw', kept.append, IMAGE)
        self.target = self.node.create_publisher(JointState, 'target_joint', COMMAND)
        self.width = self.node.create_publisher(Float64MultiArray, 'gripper/command', COMMAND)
        self.spin()
        wait_for(lambda: self.joints and self.fingers, 'joint states')
        wait_for(self.target.get_subscription_count, 'the rig to listen')

    def mode(self):
        return self.rig._rig.mode.name

    def q(self):
        return np.array(self.joints[-1].position)

    def move(self, change_rad, seconds=1.0, stop_at=1.0):
        """Send a smooth motion of every joint at 100 Hz, or the first part of one."""
        start, began = self.rig._rig.target, time.monotonic()
        for step in range(1, round(100 * seconds * stop_at) + 1):
            t = step / (100.0 * seconds)
            way = t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
            self.send(start + change_rad * way)
            time.sleep(max(0.0, began + 0.01 * step - time.monotonic()))

    def send(self, q):
        message = JointState(name=NAMES, position=q.tolist())
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.target.publish(message)


@pytest.fixture(scope='module')
def bench(domain):
    made = Bench(
        domain,
        {
            'joint_names': NAMES,
            'gripper_joint_names': FINGERS,
            'gripper_message': 'std_msgs/Float64MultiArray',
        },
    )
    yield made
    made.close()


@pytest.fixture
def rig(bench):
    """Hand over a robot without errors or faults, at rest."""
    yield bench
    bench.set_faults('')
    bench.ask(SetBool, 'sim_rig/user_stop', SetBool.Request(data=False))
    bench.ask(Trigger, 'sim_rig/recover')


def test_a_smooth_stream_over_ros_moves_the_arm_without_an_error(rig):
    before = rig.q()
    rig.move(0.1)
    wait_for(lambda: np.abs(rig.q()[:4] - before[:4] - 0.1).max() < 0.02, 'the arm to follow')
    assert rig.mode() == 'MOVE'
    rig.move(-0.1)
    time.sleep(0.4)
    assert rig.mode() == 'MOVE', 'a stream that ends at rest is no error'


def test_a_stream_that_breaks_off_ends_in_reflex_and_holds(rig):
    rig.move(0.2, stop_at=0.5)
    wait_for(lambda: rig.mode() == 'REFLEX', 'the robot to miss its targets', 2.0)
    assert rig.rig._rig.errors == ('communication_constraints_violation',)
    time.sleep(0.5)
    assert np.abs(rig.joints[-1].velocity).max() < 0.02, 'an arm in reflex holds'


def test_a_step_ends_in_reflex_until_recovered(rig):
    rig.send(rig.q() + 0.3)
    wait_for(lambda: rig.mode() == 'REFLEX', 'the robot to refuse')
    assert rig.ask(Trigger, 'sim_rig/recover').success
    assert rig.mode() == 'IDLE'


def test_the_user_stop_holds_the_arm_and_blocks_recovering(rig):
    answer = rig.ask(SetBool, 'sim_rig/user_stop', SetBool.Request(data=True))
    assert (answer.success, answer.message) == (True, 'robot is USER_STOPPED')
    refused = rig.ask(Trigger, 'sim_rig/recover')
    assert not refused.success
    assert 'user stop' in refused.message


def test_a_cause_that_lasts_is_put_in_and_taken_out(rig):
    assert rig.set_faults('joint_reflex').successful
    assert rig.mode() == 'REFLEX'
    assert 'joint_reflex lasts' in rig.ask(Trigger, 'sim_rig/recover').message
    assert rig.set_faults('').successful
    assert rig.ask(Trigger, 'sim_rig/recover').success


def test_an_unknown_fault_is_refused_with_the_nearest_name(rig):
    result = rig.set_faults('gripper_stuck, scene_frosen')
    assert not result.successful
    assert "'scene_frosen'. Did you mean 'scene_frozen'" in result.reason
    assert rig.set_faults('').successful


def test_a_stuck_gripper_does_not_follow(rig):
    assert rig.set_faults('gripper_stuck').successful
    rig.width.publish(Float64MultiArray(data=[0.0]))
    time.sleep(0.5)
    assert sum(rig.fingers[-1].position) > 0.07
    rig.set_faults('')
    wait_for(lambda: sum(rig.fingers[-1].position) < 0.02, 'the gripper to close')
    rig.width.publish(Float64MultiArray(data=[0.08]))
    wait_for(lambda: sum(rig.fingers[-1].position) > 0.07, 'the gripper to open')


def test_a_camera_freezes_sends_garbage_and_is_unplugged(rig):
    scene, wrist = rig.images['scene'], rig.images['wrist']

    def fresh():
        scene.clear()
        wrist.clear()
        wait_for(lambda: len(scene) > 2 and len(wrist) > 2, 'pictures')
        return to_rgb(scene[-1], 'scene'), to_rgb(wrist[-1], 'wrist')

    good, _ = fresh()
    rig.set_faults('scene_garbage')
    bad, _ = fresh()
    assert np.abs(bad.astype(int) - good).mean() > 30
    rig.set_faults('scene_frozen')
    still, _ = fresh()
    rig.move(0.15)
    after, _ = fresh()
    assert np.array_equal(still, after), 'a frozen camera shows one picture'
    assert scene[-1].header.stamp != scene[-2].header.stamp, 'its stamps go on'
    rig.set_faults('scene_unplugged')
    time.sleep(0.3)
    scene.clear()
    wrist.clear()
    time.sleep(0.5)
    assert len(scene) == 0
    assert len(wrist) > 0, 'the other camera goes on'
    rig.set_faults('')
    thawed, _ = fresh()
    assert not np.array_equal(still, thawed)
    rig.move(-0.15)


def test_stamps_of_joint_states_go_forward_though_ticks_are_late_and_catch_up():
    """Ticks of 10 ms with five states each; some come up to 9 ms late, the next ones in time."""
    chance, ages_ns = np.random.default_rng(0), [8_000_000, 6_000_000, 4_000_000, 2_000_000, 0]
    stamps, ticks = [0], 1_000_000_000 + 10_000_000 * np.arange(1000)
    for due_ns in ticks + chance.choice([0, 3_000_000, 9_000_000], 1000):
        made = sample_stamps(ages_ns, int(due_ns), stamps[-1])
        assert made[-1] == due_ns, 'the last state is of the moment of the tick'
        stamps += made
    assert (np.diff(stamps) > 0).all()


def test_a_clock_that_is_set_back_is_followed():
    assert sample_stamps([2, 0], 50, 100) == [48, 50]
