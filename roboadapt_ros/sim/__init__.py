"""The simulated rig: MuJoCo world, Panda arm, cameras, tasks and scripted experts.

Only this package imports mujoco. MuJoCo picks its OpenGL back end when it is first imported, so
the choice for machines without a display is made here.
"""

import os
import sys

if sys.platform.startswith('linux') and not os.environ.get('DISPLAY'):
    os.environ.setdefault('MUJOCO_GL', 'egl')
