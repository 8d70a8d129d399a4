"""Camera-driven manipulation policies on a Franka arm: one frozen backbone, many small skills.

Importing this package imports nothing else; take what you need from its subpackages.
"""

__version__ = '0.1.0'
