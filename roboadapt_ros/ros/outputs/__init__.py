"""Points of the governor in the messages that the controllers of an arm take."""
