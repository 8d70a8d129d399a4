"""How hard the arm may press: targets held back, and a table that is pressed on."""

from control_fakes import make_chunk
import numpy as np
import pytest
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.control.contact import ContactConfig, ContactLeash, hand_force
from roboadapt_ros.control.governor import Governor, GovernorConfig
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.measured import Measured
from roboadapt_ros.control.spline import Target
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.evaluation.loop import contact_config
from roboadapt_ros.sim.rig import RobotMode, SimRig

GAINS = load_rig('sim').arm.contact.config()
STIFFNESS = np.array(GAINS.stiffness_nm_rad)
DAMPING = np.array(GAINS.damping_nm_s_rad)
KINEMATICS = PandaKinematics()
REST = np.zeros(7)


def _hold(step, dq=REST, config=GAINS):
    measured = Measured(Q_HOME, REST, 0.04, 1)
    return ContactLeash(config, KINEMATICS).hold(Target(Q_HOME + step, dq, REST), measured)


def _force(target):
    """Return the force (3,) with which the arm presses at rest [N]."""
    return hand_force(KINEMATICS.jacobian(Q_HOME), STIFFNESS * (target.q - Q_HOME))[:3]


def _force_n(target):
    return float(np.linalg.norm(_force(target)))


def _downward(force_n):
    """Return the step (7,) [rad] of a command that presses straight down so hard."""
    return KINEMATICS.jacobian(Q_HOME)[2] * -force_n / STIFFNESS


def _way_down(q, depth_m, speed_m_s=0.05, period_s=0.1):
    """Return rows (n, 7) [rad] that lower the hand until it would be below the table's top."""
    rows = [q]
    while KINEMATICS.forward(rows[-1])[0][2] > -depth_m:
        step_m = np.array([0.0, 0.0, -speed_m_s * period_s, 0.0, 0.0, 0.0])
        rows.append(rows[-1] + np.linalg.pinv(KINEMATICS.jacobian(rows[-1])) @ step_m)
    return np.array([*rows[1:], *[rows[-1]] * 30])


def _press_down(rig, contact, *, depth_m=0.06):
    """Lead the hand into the table, and return the largest force it felt [N]."""
    rig.reset(3)
    config = GovernorConfig(contact=contact, workspace=WorkspaceConfig(z_min_m=None))
    governor = Governor(config, robot_limits('panda'), KINEMATICS)
    rows = _way_down(rig.state().q, depth_m)
    force_n = 0.0
    for tick in range(10 * len(rows)):
        now_ns = round((rig.time_s + 1.0) * 1e9)
        state = rig.state()
        governor.observe(state.q, state.dq, state.gripper_width_m, now_ns)
        if tick % 10 == 0:
            due = rows[tick // 10 :]
            governor.accept(make_chunk(np.vstack([due, [due[-1]] * 8])[:8], now_ns), now_ns)
        rig.set_joint_target(governor.command(now_ns).q)
        rig.advance(0.01)
        force_n = max(force_n, float(np.linalg.norm(rig.external_force()[:3])))
        if rig.errors:
            break
    return force_n


@pytest.fixture(scope='module')
def rig():
    made = SimRig()
    yield made
    made.close()


def test_a_target_nearby_is_left_alone():
    assert _hold(_downward(0.9 * GAINS.force_max_n)) is None


def test_a_target_that_presses_too_hard_is_held_at_the_largest_force():
    held = _hold(_downward(3.0 * GAINS.force_max_n))
    assert _force_n(held) == pytest.approx(GAINS.force_max_n, rel=0.02)
    assert (held.dq == 0.0).all()
    assert (held.ddq == 0.0).all()


def test_speed_along_the_force_is_taken_and_speed_away_from_it_is_kept():
    step = _downward(2.0 * GAINS.force_max_n)
    along = _force(_hold(step)) @ KINEMATICS.jacobian(Q_HOME)[:3]
    pressing = 0.05 * along / np.linalg.norm(along)
    sliding = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3])
    held = _hold(step, pressing + sliding)
    assert abs(along @ held.dq) < 0.05 * along @ pressing
    assert held.dq[6] == pytest.approx(0.3, abs=0.01)
    back = -2.0 * pressing
    assert (_hold(step, back).dq == back).all()


def test_a_joint_that_would_turn_too_hard_is_held_at_the_largest_torque():
    step = np.eye(7)[6] * 0.8
    held = _hold(step, np.eye(7)[6])
    assert (STIFFNESS * (held.q - Q_HOME) - DAMPING * np.eye(7)[6])[6] == pytest.approx(
        GAINS.torque_max_nm
    )
    assert held.dq[6] == 0.0


def test_the_lag_at_the_speed_that_is_asked_for_is_no_force():
    dq = np.array([1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    lag = dq * DAMPING / STIFFNESS
    assert _hold(lag) is not None
    assert _hold(lag, dq) is None


def test_without_gains_or_a_measured_arm_nothing_is_held_back():
    assert _hold(_downward(500.0), config=ContactConfig()) is None
    assert ContactLeash(GAINS, KINEMATICS).hold(Target(Q_HOME + 1.0, REST, REST), None) is None


@pytest.mark.parametrize(
    ('field', 'value', 'rule'),
    [
        ('stiffness_nm_rad', (600.0,) * 6, 'must be 7 positive numbers'),
        ('stiffness_nm_rad', (600.0,) * 6 + (0.0,), 'must be 7 positive numbers'),
        ('damping_nm_s_rad', (), 'must be 7 positive numbers'),
        ('force_max_n', 0.0, 'must be positive'),
        ('torque_max_nm', float('nan'), 'must be positive'),
    ],
)
def test_gains_that_make_no_sense_are_refused(field, value, rule):
    fields = {'stiffness_nm_rad': (600.0,) * 7, 'damping_nm_s_rad': (30.0,) * 7, field: value}
    with pytest.raises(ConfigError, match=f'arm.contact.{field}.*{rule}'):
        ContactConfig(**fields)


def test_the_simulated_rigs_file_has_the_gains_of_its_controller(rig: SimRig):
    assert load_rig('sim').arm.contact.config() == contact_config(rig)


def test_an_arm_led_into_the_table_presses_no_harder_than_allowed(rig: SimRig):
    config = contact_config(rig)
    force_n = _press_down(rig, config)
    assert rig.errors == ()
    assert force_n < 1.6 * config.force_max_n, 'landing included'
    assert np.linalg.norm(rig.external_force()[:3]) < 1.1 * config.force_max_n


def test_without_the_gains_the_same_motion_ends_in_a_reflex(rig: SimRig):
    _press_down(rig, ContactConfig())
    assert rig.mode is RobotMode.REFLEX
    assert set(rig.errors) <= {'cartesian_reflex', 'joint_reflex'}
