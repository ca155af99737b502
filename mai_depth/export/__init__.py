"""From a student to a verified file for a phone or a board."""
