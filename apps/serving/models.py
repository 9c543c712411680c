"""Which model version serves which role. (Calibrations are files beside the skill that they belong to.)"""
