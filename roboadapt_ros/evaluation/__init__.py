"""Judging and reporting: statistics, protocols, monitors and the report. No ROS imports."""
