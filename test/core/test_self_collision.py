"""The arm keeps off itself: capsules enclose its meshes, and the governor keeps them apart."""

import contextlib
from dataclasses import replace
import itertools

from control_fakes import Driver, make_chunk, still_chunk
import numpy as np
import pytest
from roboadapt_ros.bench.hostile_arm import FOLDED
from roboadapt_ros.control.anchor import Anchor, REACH_M
from roboadapt_ros.control.capsules import CAPSULES
from roboadapt_ros.control.governor import GovernorConfig
from roboadapt_ros.control.governor_config import SelfCollisionConfig
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.motion import JointMotion
from roboadapt_ros.control.self_collision import PairDistances, PAIRS, SelfDistance
from roboadapt_ros.control.spline import Target
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.errors import ConfigError, RefusedError, SpecError
from roboadapt_ros.sim.capsule_fit import Capsule, divided, link_triangles
from roboadapt_ros.sim.collision import MeshDistance, TOUCHING_M
from roboadapt_ros.sim.experts import make_expert
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.tasks import make_task, TASKS

LEAST_M = SelfCollisionConfig().min_distance_m
LINKS = [*(f'link{i}' for i in range(8)), 'hand', 'fingers']
OPEN = WorkspaceConfig(**{f'{axis}_{end}_m': None for axis in 'xyz' for end in ('min', 'max')})


@pytest.fixture(scope='module')
def meshes():
    return MeshDistance()


@pytest.fixture(scope='module')
def distance():
    return SelfDistance()


def random_poses(count, seed=0):
    """Return poses (count, 7) within the wider of both arms' ends."""
    tables = [robot_limits(robot) for robot in ('panda', 'fr3')]
    low = np.min([table.q_min for table in tables], axis=0)
    high = np.max([table.q_max for table in tables], axis=0)
    return np.random.default_rng(seed).uniform(low, high, (count, 7))


class TestCapsules:
    @pytest.mark.parametrize('link', LINKS)
    def test_every_triangle_of_a_link_lies_whole_in_one_of_its_capsules(self, link):
        # A triangle between two capsules would stick out although its corners do not.
        pieces = divided(link_triangles()[link])
        capsules = [
            Capsule(np.array(start), np.array(end), radius)
            for name, start, end, radius in CAPSULES
            if name == link
        ]
        outside = np.min([capsule.beyond(pieces).max(axis=1) for capsule in capsules], axis=0)
        assert outside.max() < -0.0025, 'the arm would touch where the governor sees room'

    def test_capsules_are_never_further_apart_than_meshes(self, meshes):
        # Another kinematics (MuJoCo's) and another geometry agree on where things are.
        groups = {pair: PairDistances([pair], REACH_M) for pair in PAIRS}
        near = 0
        for q in random_poses(120):
            for pair, group in groups.items():
                capsules, mesh = group.distance(q), meshes.between(q, [pair])
                assert capsules < mesh - 0.005, f'{pair} at {q.tolist()}'
                near += capsules < 0.1
        assert near > 100, 'far apart, anything holds'

    def test_capsules_are_not_much_nearer_than_meshes(self, meshes):
        group = PairDistances([('link5', 'hand')], REACH_M)
        gaps = [meshes.between(q, [('link5', 'hand')]) - group.distance(q) for q in
                random_poses(200) if group.distance(q) > 0]  # fmt: skip
        assert np.mean(gaps) < 0.025 and np.max(gaps) < 0.05

    def test_links_that_are_not_measured_never_touch(self, meshes):
        apart = [
            (one, other)
            for one, other in itertools.combinations(LINKS, 2)
            if LINKS.index(other) - LINKS.index(one) > 1
            and (one, other) not in (*PAIRS, ('link7', 'fingers'), ('hand', 'fingers'))
        ]
        assert ('link5', 'link7') in apart and ('link0', 'link3') in apart
        poses = random_poses(150)
        assert min(meshes.between(q, apart) for q in poses) > TOUCHING_M

    def test_the_distance_changes_no_faster_than_the_anchor_believes(self, distance):
        # Else a measurement would be trusted for longer than it holds.
        rng = np.random.default_rng(0)
        for group in distance.groups:
            for q in random_poses(300):
                step = rng.normal(size=7) * rng.choice([0.001, 0.02, 0.3])
                before = group.distance(q)
                low, high = np.minimum(q, q + step), np.maximum(q, q + step)
                least = group.anchor.least(low, high)
                assert group.distance(q + step) >= least
                assert group.anchor.way(low, high) == pytest.approx(before - least)

    def test_an_anchor_without_a_measurement_promises_nothing(self):
        assert Anchor().least(Q_HOME, Q_HOME) == -np.inf

    def test_what_is_no_pose_is_named(self, distance):
        with pytest.raises(SpecError, match='joints'):
            distance.distance(np.full(7, np.nan))


class TestPoses:
    @pytest.mark.parametrize('pose', FOLDED)
    def test_a_folded_arm_is_seen_by_both(self, distance, meshes, pose):
        nearest = distance.nearest(np.array(pose))
        assert nearest.distance_m < -0.02
        assert meshes.between(np.array(pose), PAIRS) < TOUCHING_M

    def test_the_documented_example_holds(self, distance):
        nearest = distance.nearest(Q_HOME)
        assert (nearest.one, nearest.other) == ('link5', 'hand')
        assert nearest.distance_m == pytest.approx(0.044, abs=1e-3)

    @pytest.mark.parametrize('yaw', [-1.5, 0.0, 1.5])
    def test_a_hand_straight_down_is_free_all_over_the_table(self, distance, yaw):
        kinematics, reached = PandaKinematics(), 0
        quat = np.array([np.cos(yaw / 2.0), np.sin(yaw / 2.0), 0.0, 0.0])
        for place in itertools.product((0.3, 0.5, 0.7), (-0.3, 0.0, 0.3), (0.02, 0.2, 0.5)):
            result = kinematics.inverse(np.array(place), quat, Q_HOME)
            for _ in range(8):
                result = kinematics.inverse(np.array(place), quat, result.q)
            reached += result.converged
            if result.converged:
                assert distance.distance(result.q) > LEAST_M + 0.004
        assert reached > 20

    @pytest.mark.parametrize('name', sorted(TASKS))
    def test_the_demo_tasks_are_not_in_its_way(self, distance, name):
        rig = SimRig()
        try:
            rig.reset(0)
            task, expert, kinematics = make_task(name), make_expert(name), PandaKinematics()
            task.start(rig)
            motion = JointMotion(robot_limits('panda').scaled(acceleration=0.9, jerk=0.2), 0.01)
            motion.reset(rig.target)
            q, last, outcome = rig.target, rig.state().ee_position, task.outcome(rig)
            while not (outcome.success or outcome.failed):
                row = expert.plan(rig, 2, 0.1)[0]
                rig.set_gripper_target(row[7])
                for part in np.linspace(0.1, 1.0, 10):
                    before = q
                    q = kinematics.inverse(last + part * (row[:3] - last), row[3:7], q).q
                    motion.take(motion.propose(Target(q, (q - before) / 0.01, np.zeros(7))))
                    rig.set_joint_target(motion.state.q)
                    rig.advance(0.01)
                assert distance.distance(q) > LEAST_M + 0.01
                last, outcome = row[:3], task.outcome(rig)
            assert outcome.success
        finally:
            rig.close()


def open_driver(robot='panda', min_distance_m=LEAST_M):
    """Return a governor without a box, so that nothing else stops the arm."""
    return Driver(
        GovernorConfig(
            workspace=OPEN, self_collision=SelfCollisionConfig(min_distance_m=min_distance_m)
        ),
        robot,
    )


def lead(driver, goal, seconds=6.0):
    """Send the arm straight to a pose, chunk after chunk, and return why it was refused."""
    causes = set()
    for _ in range(round(seconds / 0.1)):
        reach = goal - driver.q
        row = driver.q + reach * min(1.0, 0.3 / max(np.abs(reach).max(), 1e-9))
        driver.governor.observe(driver.q, driver.dq, 0.08, driver.now_ns)
        try:
            driver.governor.accept(still_chunk(driver.now_ns, row, rows=4), driver.now_ns)
        except RefusedError as error:
            causes.add(error.cause)
        driver.tick(10)
    return causes


class TestGovernor:
    @pytest.mark.parametrize('robot', ['panda', 'fr3'])
    @pytest.mark.parametrize('pose', FOLDED[::3])
    def test_no_stream_leads_the_arm_into_itself(self, distance, robot, pose):
        driver = open_driver(robot)
        driver.tick()
        assert 'self_collision' in lead(driver, np.array(pose))
        nearest = min(distance.distance(q) for q in driver.points)
        assert LEAST_M - 5e-4 < nearest < LEAST_M + 0.08, 'it comes near, and no nearer'

    @pytest.mark.parametrize('pose', FOLDED[::3])
    def test_a_motion_that_no_row_betrays_is_braked(self, distance, pose):
        driver = open_driver()
        driver.governor._path._check_distances = lambda rows, origin: None
        driver.tick()
        lead(driver, np.array(pose))
        assert driver.governor.counts['braked_self_collision'] > 0
        assert min(distance.distance(q) for q in driver.points) > LEAST_M - 5e-4

    def test_a_stop_comes_no_nearer_between_the_looks(self, distance):
        # The guard looks at a stop a few times; here it is looked at a hundred times.
        driver, worst = open_driver(), np.inf
        driver.governor._path._check_distances = lambda rows, origin: None
        motion, take = driver.governor._follower._motion, []
        inner = motion.take
        motion.take = lambda step: (take.append(step), inner(step))
        driver.tick()
        for pose in FOLDED:
            lead(driver, np.array(pose), 2.0)
            lead(driver, Q_HOME, 2.0)
        for step in take[::7]:
            times = np.linspace(0.0, step.stop.duration, 60)
            worst = min(worst, *(distance.distance(step.at(t)[0]) for t in times))
        assert worst > LEAST_M - 5e-4

    def test_an_arm_that_starts_too_near_may_move_apart_but_not_nearer(self, distance):
        folded = Q_HOME + 0.85 * (np.array(FOLDED[0]) - Q_HOME)
        start = distance.distance(folded)
        assert start < LEAST_M
        driver = open_driver()
        driver.q = folded
        driver.tick()
        assert 'self_collision' in lead(driver, np.array(FOLDED[0]), 1.0)
        assert all(distance.distance(q) > start - 1e-5 for q in driver.points)
        lead(driver, Q_HOME)
        assert distance.distance(driver.q) > 0.04

    def test_the_refusal_names_both_links_and_their_distance(self):
        driver = open_driver()
        driver.q = Q_HOME + 0.8 * (np.array(FOLDED[1]) - Q_HOME)
        driver.tick()
        rows = np.linspace(driver.q, np.array(FOLDED[1]), 8)
        with pytest.raises(RefusedError, match=r'and hand would be -?0\.\d+ m apart') as caught:
            driver.governor.accept(make_chunk(rows, driver.now_ns), driver.now_ns)
        assert caught.value.cause == 'self_collision'
        assert driver.governor.counts['self_collision'] == 1

    @pytest.mark.parametrize('distance_m', [-0.01, 0.031, float('nan')])
    def test_a_distance_out_of_range_is_refused(self, distance_m):
        with pytest.raises(ConfigError, match='min_distance_m'):
            SelfCollisionConfig(min_distance_m=distance_m)

    def test_a_larger_distance_is_kept_too(self, distance):
        driver = open_driver(min_distance_m=0.03)
        driver.tick()
        with contextlib.suppress(RefusedError):
            lead(driver, np.array(FOLDED[0]))
        assert min(distance.distance(q) for q in driver.points) > 0.03 - 5e-4


class TestCone:
    def test_the_tool_is_kept_within_its_cone(self):
        config = replace(GovernorConfig(), workspace=replace(OPEN, max_tilt_rad=0.4))
        driver = Driver(config)
        driver.tick()
        goal = Q_HOME.copy()
        goal[5] += 0.9
        assert lead(driver, goal, 2.0) == {'workspace'}
        tilts = []
        for q in driver.points:
            x, y, *_ = PandaKinematics().forward(q)[1]
            tilts.append(np.arccos(2.0 * (x * x + y * y) - 1.0))
        assert 0.25 < max(tilts) < 0.4 + 1e-4

    @pytest.mark.parametrize('tilt', [0.0, -1.0, float('nan')])
    def test_a_cone_without_room_is_refused(self, tilt):
        with pytest.raises(ConfigError, match='max_tilt_rad'):
            WorkspaceConfig(max_tilt_rad=tilt)
