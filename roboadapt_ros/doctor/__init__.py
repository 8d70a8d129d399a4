"""Is a rig ready, and if not, why: checks on plain facts, each finding with its fix.

`facts` is what was seen, `examine` judges it. Nothing in here imports ROS or moves anything; what
asks a running graph is `bringup.examiner`.
"""
