"""What has to be installed for a rig, and how to get it."""

from __future__ import annotations

from roboadapt_ros.doctor.facts import RigFacts

PACKAGES: dict[str, tuple[str, bool]] = {
    'roboadapt_interfaces': (
        "'make setup', or colcon build --base-paths . roboadapt_interfaces and source it",
        True,
    ),
    'sensor_msgs': ('sudo apt install ros-{distro}-sensor-msgs', True),
    'diagnostic_msgs': ('sudo apt install ros-{distro}-diagnostic-msgs', True),
    'lifecycle_msgs': ('sudo apt install ros-{distro}-lifecycle-msgs', True),
    'cv2': ('sudo apt install python3-opencv', True),
    'numpy': ('sudo apt install python3-numpy', True),
    'torch': ('pip install -r requirements.txt', True),
    'timm': ('pip install -r requirements.txt', True),
    'pinocchio': ('sudo apt install ros-{distro}-pinocchio, or pip install pin', True),
    'ruckig': ('pip install ruckig', True),
    'onnxruntime': ('pip install onnxruntime', False),
}
"""Package -> how to get it, and whether the graph needs it; the others make it better."""
RIG_PACKAGES: dict[str, str] = {
    'franka_msgs': 'source the workspace that has franka_ros2 (it brings franka_msgs)',
    'controller_manager_msgs': 'sudo apt install ros-{distro}-controller-manager-msgs',
    'geometry_msgs': 'sudo apt install ros-{distro}-geometry-msgs',
    'std_msgs': 'sudo apt install ros-{distro}-std-msgs',
    'trajectory_msgs': 'sudo apt install ros-{distro}-trajectory-msgs',
    'control_msgs': 'sudo apt install ros-{distro}-control-msgs',
    'moveit_msgs': 'sudo apt install ros-{distro}-moveit-msgs',
    'mujoco': 'pip install -r requirements.txt',
}


def needed_packages(rig: RigFacts) -> dict[str, tuple[str, bool]]:
    """Return what a rig needs: package -> how to get it, and whether it can't do without."""
    wanted = dict(PACKAGES)
    for message_package in (*rig.packages, rig.robot_state_type.partition('/')[0]):
        if not message_package:
            continue
        fix = RIG_PACKAGES.get(message_package, f'source the workspace that has {message_package}')
        wanted.setdefault(message_package, (fix, True))
    if rig.simulated:
        wanted['mujoco'] = (RIG_PACKAGES['mujoco'], True)
    else:
        # The doctor asks for controllers; the graph needs it where the rig file names some.
        name = 'controller_manager_msgs'
        wanted.setdefault(name, (RIG_PACKAGES[name], False))
    return wanted
