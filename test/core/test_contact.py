"""How hard the arm may press: targets held back, and a table that is pressed on."""

from control_fakes import Driver, make_chunk, still_chunk
import numpy as np
import pytest
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.control.contact import ContactConfig, ContactLeash, hand_force, PressWatch
from roboadapt_ros.control.governor import Governor, GovernorConfig, GovernorState
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.measured import Measured
from roboadapt_ros.control.motion import MotionState
from roboadapt_ros.control.spline import Target
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.sim.impedance import contact_config
from roboadapt_ros.sim.rig import RobotMode, SimRig

GAINS = load_rig('sim').arm.contact.config()
STIFFNESS = np.array(GAINS.stiffness_nm_rad)
DAMPING = np.array(GAINS.damping_nm_s_rad)
KINEMATICS = PandaKinematics()
REST = np.zeros(7)
TICK_S = 0.01
NOW_NS = 1_700_000_000_000_000_000


def _hold(step, dq=REST, config=GAINS, *, told=None, moving=REST, age_ns=0, behind_s=0.0):
    """Return what is made of a target a step away; the arm was told to be there, or at `told`."""
    measured = Measured(Q_HOME, moving, 0.04, NOW_NS - age_ns)
    command = MotionState(Q_HOME + (step if told is None else told), dq, REST)
    leash = ContactLeash(config, KINEMATICS, TICK_S, behind_s)
    return leash.hold(Target(Q_HOME + step, dq, REST), command, NOW_NS, measured)


def _force(target):
    """Return the force (3,) with which the arm presses at rest [N]."""
    return hand_force(KINEMATICS.jacobian(Q_HOME), STIFFNESS * (target.q - Q_HOME))[:3]


def _force_n(target):
    return float(np.linalg.norm(_force(target)))


def _downward(force_n):
    """Return the step (7,) [rad] of a command that presses straight down so hard."""
    return KINEMATICS.jacobian(Q_HOME)[2] * -force_n / STIFFNESS


def test_what_a_trajectory_keeps_an_arm_behind_is_no_force_while_it_moves_along():
    dq = REST + 0.8 * np.eye(7)[0]
    step = dq * (DAMPING / STIFFNESS + 0.02 + 0.06)
    assert _hold(step, dq, moving=dq) is not None, 'of a controller that takes points at once'
    assert _hold(step, dq, moving=dq, behind_s=0.06) is None
    assert _hold(step, dq, behind_s=0.06) is not None, 'it does not move: it presses'


def test_an_arm_that_is_held_back_for_long_is_noticed():
    watch = PressWatch(ContactConfig(patience_s=0.1), 0.01)
    still, moving = (Measured(Q_HOME, REST + dq, 0.04, 1) for dq in (0.01, 0.3))
    assert [watch.tick(still, is_held=True) for _ in range(8)] == [None] * 8
    assert [watch.tick(still, is_held=False) for _ in range(3)] == [None] * 3
    said = [watch.tick(still, is_held=True) for _ in range(6)]
    assert said[:4] == [None] * 4
    assert 'held back for 0.1 s: it is blocked' in said[-1]
    assert watch.tick(moving, is_held=True) is None, 'it moves'
    watch.reset()
    assert watch.tick(still, is_held=True) is None


def test_a_governor_whose_arm_hears_nothing_stops():
    driver = Driver(GovernorConfig(contact=GAINS))
    driver.measuring = False
    for tick in range(600):
        driver.governor.observe(Q_HOME, REST, 0.08, driver.now_ns)
        if tick % 10 == 0 and driver.governor.state is not GovernorState.FAULT:
            goal = Q_HOME + 0.2 * np.sin(tick / 50.0)
            driver.governor.accept(still_chunk(driver.now_ns, goal), driver.now_ns)
        command = driver.tick()
        if command.q is not None:
            assert np.abs(command.q - Q_HOME)[:4].max() < 0.1, 'it does not run away'
    assert driver.governor.state is GovernorState.FAULT
    assert 'does not hear the targets' in driver.governor.reason
    assert driver.governor.counts['blocked'] == 1


def _way_down(q, depth_m, speed_m_s=0.05, period_s=0.1):
    """Return rows (n, 7) [rad] that lower the hand until it would be below the table's top."""
    rows = [q]
    while KINEMATICS.forward(rows[-1])[0][2] > -depth_m:
        step_m = np.array([0.0, 0.0, -speed_m_s * period_s, 0.0, 0.0, 0.0])
        rows.append(rows[-1] + np.linalg.pinv(KINEMATICS.jacobian(rows[-1])) @ step_m)
    return np.array([*rows[1:], *[rows[-1]] * 15])


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


def test_a_target_far_ahead_is_left_alone_while_the_arm_does_not_press():
    far = _downward(3.0 * GAINS.force_max_n)
    assert _hold(far, told=_downward(0.4 * GAINS.force_max_n)) is None
    held = _hold(far, told=_downward(0.6 * GAINS.force_max_n))
    assert _force_n(held) == pytest.approx(GAINS.force_max_n, rel=0.02)
    assert _hold(_downward(0.9 * GAINS.force_max_n), told=far) is None, 'it goes back by itself'


def test_an_arm_that_is_held_is_not_led_aside():
    """Soft joints would give way first, and turn the hand."""
    step = _downward(2.0 * GAINS.force_max_n) + np.linspace(-0.02, 0.02, 7)
    held = _hold(step)
    share = (held.q - Q_HOME) / step
    assert 0.3 < share[0] < 0.7
    np.testing.assert_allclose(share, share[0])


def test_a_joint_that_would_turn_too_hard_is_held_at_the_largest_torque():
    held = _hold(np.eye(7)[6] * 0.8)
    assert (STIFFNESS * (held.q - Q_HOME))[6] == pytest.approx(GAINS.torque_max_nm)
    assert (held.dq == 0.0).all()


def test_the_lag_of_an_arm_that_moves_along_is_no_force():
    dq = np.array([1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    lag = dq * (DAMPING / STIFFNESS + 0.02)
    assert _hold(lag, dq, moving=dq) is None
    for moving in (0.0 * dq, -dq):
        assert _force_n(_hold(lag, dq, moving=moving)) <= 1.001 * GAINS.force_max_n
    assert _hold(lag, 0.0 * dq, moving=dq) is not None, 'it was not told to move at this speed'
    late = lag + dq * 0.08
    assert _hold(late, dq, moving=dq) is not None
    assert _hold(late, dq, moving=dq, age_ns=80_000_000) is None


def test_an_arm_that_lags_less_than_it_may_is_not_drawn_ahead():
    dq = np.array([1.5, -1.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    for ahead in (0.0, 0.002, -0.002):
        assert _hold(ahead * dq, dq, moving=dq) is None, 'one that is where it was told to be'
    assert _hold(0.2 * dq, dq, moving=dq) is not None


@pytest.mark.parametrize('slip_rad_s', [0.1, 0.3, 0.5, 1.0, 1.5])
def test_an_arm_that_slips_off_pulls_its_target_no_further_than_its_spring(slip_rad_s):
    """Its own speed is no lag: nobody told it to move."""
    ahead, slips = np.eye(7)[0], np.eye(7)[0] * slip_rad_s
    at_the_limit = GAINS.torque_max_nm / STIFFNESS[0] * ahead
    held = _hold(0.2 * ahead, told=at_the_limit, moving=slips)
    np.testing.assert_allclose(held.q, Q_HOME + at_the_limit)


def test_without_gains_or_a_measured_arm_nothing_is_held_back():
    assert _hold(_downward(500.0), config=ContactConfig()) is None
    far = MotionState(Q_HOME + 1.0, REST, REST)
    assert ContactLeash(GAINS, KINEMATICS, TICK_S).hold(Target(*far), far, 1, None) is None


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
    assert load_rig('sim').arm.contact.config() == contact_config(rig.config.impedance)


def test_an_arm_led_into_the_table_presses_no_harder_than_allowed(rig: SimRig):
    config = contact_config(rig.config.impedance)
    force_n = _press_down(rig, config)
    assert rig.errors == ()
    assert force_n < 1.6 * config.force_max_n, 'landing included'
    assert np.linalg.norm(rig.external_force()[:3]) < 1.1 * config.force_max_n


def test_without_the_gains_the_same_motion_ends_in_a_reflex(rig: SimRig):
    _press_down(rig, ContactConfig())
    assert rig.mode is RobotMode.REFLEX
    assert set(rig.errors) <= {'cartesian_reflex', 'joint_reflex'}
