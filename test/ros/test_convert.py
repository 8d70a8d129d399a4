"""Messages to the core's values and back, through ROS's own serialisation."""

import array
from dataclasses import replace
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from roboadapt_interfaces import msg as interfaces
from roboadapt_ros.contract import ActionSpace, Envelope
from roboadapt_ros.dataflow import ActionChunk, Features, Identity, LatencyLedger
from roboadapt_ros.errors import SpecError
from roboadapt_ros.ros import convert
from roboadapt_ros.ros.franka_state import in_hand

T0_NS = 1_700_000_000_123_456_789
IDENTITY = Identity(
    task='lift', package_digest='ab' * 32, generation=7, frame_stamps_ns=(T0_NS, T0_NS + 1)
)
LEDGER = LatencyLedger(exposure=T0_NS, received=T0_NS + 5, encoded=T0_NS + 9)


def _sent(message):
    """Return a message as it arrives on the other side."""
    return deserialize_message(serialize_message(message), type(message))


def _chunk(actions):
    return ActionChunk(
        stamp_ns=T0_NS,
        identity=IDENTITY,
        ledger=LEDGER,
        space=ActionSpace.JOINT_POSITION,
        names=('a', 'b', 'gripper_width'),
        period_s=0.1,
        start_ns=T0_NS + 3,
        actions=actions,
    )


@pytest.mark.parametrize('time_ns', [0, 1, 999_999_999, T0_NS, (2**31 - 1) * 10**9])
def test_times_survive_to_the_nanosecond(time_ns):
    assert convert.from_time(_sent(convert.to_time(time_ns))) == time_ns


def test_features_survive_bit_for_bit():
    values = np.random.default_rng(0).normal(size=2048).astype(np.float32)
    features = Features(stamp_ns=T0_NS, identity=IDENTITY, ledger=LEDGER, values=values)
    back = convert.from_features(_sent(convert.to_features(features)))
    assert back.values.dtype == np.float32
    np.testing.assert_array_equal(back.values, values)
    assert (back.stamp_ns, back.identity, back.ledger) == (T0_NS, IDENTITY, LEDGER)


def test_chunks_survive_bit_for_bit():
    actions = np.random.default_rng(0).normal(size=(8, 3))
    back = convert.from_chunk(_sent(convert.to_chunk(_chunk(actions))))
    np.testing.assert_array_equal(back.actions, actions)
    assert (back.names, back.start_ns, back.period_s) == (
        ('a', 'b', 'gripper_width'),
        T0_NS + 3,
        0.1,
    )
    assert (back.identity, back.ledger, back.space) == (
        IDENTITY,
        LEDGER,
        ActionSpace.JOINT_POSITION,
    )


def test_a_nan_survives_so_that_the_governor_can_refuse_it():
    back = convert.from_chunk(_sent(convert.to_chunk(_chunk(np.full((2, 3), np.nan)))))
    assert np.isnan(back.actions).all()


@pytest.mark.parametrize(
    'envelope',
    [
        None,
        Envelope(),
        Envelope(velocity_scale=0.3, hand_speed_max_m_s=0.2, low_m=(None, -0.1, 0.0)),
        Envelope(high_m=(0.5, None, 0.4)),
    ],
)
def test_a_tasks_bounds_survive_with_their_open_sides(envelope):
    chunk = replace(_chunk(np.zeros((1, 3))), envelope=envelope)
    assert convert.from_chunk(_sent(convert.to_chunk(chunk))).envelope == envelope


@pytest.mark.parametrize(
    'change',
    [
        {},  # a message that nobody filled is all zeros
        {'velocity_scale': math.nan, 'hand_speed_max_m_s': 1.0},
        {'velocity_scale': 1.0, 'hand_speed_max_m_s': -math.inf},
        {'velocity_scale': 1.0, 'hand_speed_max_m_s': 1.0, 'low_m': [math.inf, 0.0, 0.0]},
        {'velocity_scale': 1.0, 'hand_speed_max_m_s': 1.0, 'high_m': [-math.inf] * 3},
    ],
)
def test_bounds_without_sense_survive_so_that_the_governor_can_refuse_them(change):
    message = convert.to_chunk(_chunk(np.zeros((1, 3))))
    message.envelope = [interfaces.Envelope(**change)]
    assert convert.from_chunk(_sent(message)).envelope.problem()


def test_too_few_actions_are_named_with_the_rule():
    message = convert.to_chunk(_chunk(np.zeros((4, 3))))
    message.actions = array.array('d', [0.0] * 11)
    with pytest.raises(SpecError, match=r'11 values.*4 rows of 3 names: 12'):
        convert.from_chunk(message)


def test_an_unknown_space_is_answered_with_the_choices():
    message = convert.to_chunk(_chunk(np.zeros((4, 3))))
    message.space = 'joint_positions'
    with pytest.raises(SpecError, match=r'joint_position'):
        convert.from_chunk(message)


def test_counters_are_sent_in_order_of_their_names():
    status = convert.to_gate_status(
        node='governor',
        stamp_ns=T0_NS,
        state='hold',
        reason='why',
        generation=3,
        accepted=5,
        refused=2,
        counts={'stale': 1, 'nan': 4},
    )
    back = _sent(status)
    assert list(back.causes) == ['nan', 'stale']
    assert list(back.counts) == [4, 1]


def test_features_are_converted_without_a_look_at_each_element():
    features = Features(
        stamp_ns=T0_NS,
        identity=IDENTITY,
        ledger=LEDGER,
        values=np.zeros(100_000, dtype=np.float32),
    )
    start_s = time.thread_time()
    for _ in range(10):
        convert.from_features(convert.to_features(features))
    # 0.1 ms each; rclpy's check of each element takes 20 ms.
    assert (time.thread_time() - start_s) / 10 < 0.01


def test_a_wrench_in_the_hands_axes_is_the_same_wrench():
    quarter = math.sqrt(0.5)
    report = SimpleNamespace(
        quat_xyzw=np.array([0.0, 0.0, quarter, quarter]),  # the hand is turned left by 90 degrees
        force=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    )
    np.testing.assert_allclose(in_hand(report), [2.0, -1.0, 3.0, 5.0, -4.0, 6.0], atol=1e-12)
