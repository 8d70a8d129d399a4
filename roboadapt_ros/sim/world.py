"""The MuJoCo world: Panda arm and hand, a table, the RGB objects, a mark and two cameras.

Arm and hand come from `dm_robotics.panda`, the objects from the fifth test triplet of
`dm_robotics.manipulation` (both Apache-2.0). The base frame is the world frame: link 0 at the
origin, x forward, z up, table top at z = 0.
"""

from __future__ import annotations

import mujoco
import numpy as np
from roboadapt_ros.errors import SimError
from roboadapt_ros.sim.camera import look_at_quat_wxyz
from roboadapt_ros.sim.meshes import lighten_meshes
from roboadapt_ros.sim.objects import (
    add_object,
    COLLISION_GROUP,
    find_asset,
    GRIPPER_BIT,
    make_visual,
    OBJECT_BIT,
    OBJECTS,
    TABLE_BIT,
    VISUAL_GROUP,
)

ARM_JOINTS = tuple(f'panda_joint{i}' for i in range(1, 8))
FINGER_JOINTS = ('panda_finger_joint1', 'panda_finger_joint2')
CAMERAS = ('scene', 'wrist')
TCP_SITE = 'tcp'
MARK_RADIUS_M = 0.045


def build_world(*, width: int, height: int) -> mujoco.MjModel:
    """Build and compile the world.

    Args:
        width: Width of the off-screen buffer [px].
        height: Height of the off-screen buffer [px].
    """
    spec = mujoco.MjSpec.from_file(str(find_asset('dm_robotics.panda', 'panda', 'panda.xml')))
    lighten_meshes(spec, cell_m=0.012)
    _set_options(spec, width, height)
    _prepare_arm(spec)
    _attach_hand(spec)
    _add_table(spec)
    for model in OBJECTS:
        add_object(spec, model)
    _add_cameras(spec)
    model = spec.compile()
    _check_order(model)
    return model


def _check_order(model: mujoco.MjModel) -> None:
    """Hold what the rig's slices rest on: seven arm joints first, then the two fingers."""
    order = [int(model.joint(name).qposadr[0]) for name in (*ARM_JOINTS, *FINGER_JOINTS)]
    if order != list(range(9)):
        raise SimError(f'Arm and fingers must be the first nine joints, found at {order}')


def _set_options(spec: mujoco.MjSpec, width: int, height: int) -> None:
    option = spec.option
    option.timestep = 0.001
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0  # grasped objects creep out of the fingers at 1
    option.iterations = 20
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    spec.visual.map.znear = 0.005
    spec.visual.global_.offwidth = width
    spec.visual.global_.offheight = height
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.3, 0.3, 0.3]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]


def _prepare_arm(spec: mujoco.MjSpec) -> None:
    """Make the arm's meshes visual, add rotor inertia and one torque motor per joint."""
    _delete([*spec.sensors])
    for geom in spec.geoms:
        make_visual(geom, rgba=(0.92, 0.92, 0.93, 1.0))
    _delete([*spec.materials, *spec.textures])
    for name in ARM_JOINTS:
        joint = spec.joint(name)
        joint.armature = 0.1  # reflected rotor inertia, as in MuJoCo Menagerie's panda.xml
        joint.damping = max(
            float(np.ravel(joint.damping)[0]), 0.02
        )  # joint 6 is negative upstream
        _add_motor(spec, name)


def _attach_hand(spec: mujoco.MjSpec) -> None:
    hand_spec = mujoco.MjSpec.from_file(
        str(find_asset('dm_robotics.panda', 'panda', 'panda_hand.xml'))
    )
    lighten_meshes(hand_spec, cell_m=0.006)
    _delete([*hand_spec.actuators, *hand_spec.tendons, *hand_spec.sites])
    for geom in list(hand_spec.geoms):
        if geom.type != mujoco.mjtGeom.mjGEOM_MESH:
            geom.delete()
        elif geom.meshname == 'finger':
            make_visual(geom, rgba=(0.16, 0.16, 0.18, 1.0))
        else:
            make_visual(geom, rgba=(0.92, 0.92, 0.93, 1.0))
    _delete([*hand_spec.materials, *hand_spec.textures])  # the arm's have the same names
    hand = hand_spec.body('panda_hand')
    hand.add_site(name=TCP_SITE, pos=[0, 0, 0.1034], group=5)
    _add_hand_collision(hand_spec, hand)
    mount = spec.body('panda_link8').add_frame(quat=[np.cos(np.pi / 8), 0, 0, -np.sin(np.pi / 8)])
    spec.attach(hand_spec, frame=mount, prefix='')
    for name in FINGER_JOINTS:
        _add_motor(spec, name)


def _add_hand_collision(hand_spec: mujoco.MjSpec, hand: mujoco.MjsBody) -> None:
    """Add a palm, and for each finger a pad at the tip and the thicker part above it."""
    _make_gripper_geom(hand.add_geom(pos=[0, -0.001, 0.028], size=[0.03, 0.1, 0.036]))
    for name in ('panda_leftfinger', 'panda_rightfinger'):
        finger = hand_spec.body(name)
        _make_gripper_geom(finger.add_geom(pos=[0, 0.0065, 0.036], size=[0.0095, 0.0065, 0.018]))
        _make_gripper_geom(finger.add_geom(pos=[0, 0.013, 0.009], size=[0.01, 0.013, 0.009]))


def _make_gripper_geom(geom: mujoco.MjsGeom) -> None:
    geom.type = mujoco.mjtGeom.mjGEOM_BOX
    geom.group = COLLISION_GROUP
    geom.contype = GRIPPER_BIT
    geom.conaffinity = TABLE_BIT | OBJECT_BIT
    geom.condim = 4
    geom.friction = [1.3, 0.02, 0.0001]  # rubber pads
    geom.priority = 1
    geom.solimp[:3] = [0.95, 0.99, 0.001]
    geom.solref[:2] = [0.005, 1.0]
    geom.mass = 0.0


def _delete(elements: list[object]) -> None:
    for element in elements:
        element.delete()


def _add_motor(spec: mujoco.MjSpec, joint: str) -> None:
    spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)


def _add_table(spec: mujoco.MjSpec) -> None:
    world = spec.worldbody
    world.add_geom(
        name='table',
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[1.5, 1.5, 0.1],
        pos=[0.5, 0, 0],
        rgba=[0.62, 0.6, 0.57, 1.0],
        contype=TABLE_BIT,
        conaffinity=OBJECT_BIT | GRIPPER_BIT,
        condim=4,
        friction=[0.5, 0.01, 0.0001],
        group=VISUAL_GROUP,
    )
    mark = world.add_body(name='mark', mocap=True, pos=[0.6, 0, 0])
    mark.add_geom(
        name='mark',
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[MARK_RADIUS_M, 0.0008, 0],
        rgba=[0.95, 0.8, 0.05, 1.0],
        contype=0,
        conaffinity=0,
        group=VISUAL_GROUP,
    )
    world.add_light(
        name='lamp',
        pos=[0.9, 0.4, 2.0],
        dir=[-0.2, -0.2, -1.0],
        castshadow=False,
        diffuse=[0.55] * 3,
    )


def _add_cameras(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_camera(
        name='scene',
        pos=[1.15, 0.0, 0.7],
        quat=look_at_quat_wxyz([1.15, 0.0, 0.7], [0.49, 0.0, 0.1], up=[0, 0, 1]),
        fovy=38.0,
    )
    spec.body('panda_hand').add_camera(
        name='wrist',
        pos=[0.08, 0.0, 0.03],
        quat=look_at_quat_wxyz([0.08, 0.0, 0.03], [0.035, 0.0, 0.14], up=[1, 0, 0]),
        fovy=78.0,
    )
