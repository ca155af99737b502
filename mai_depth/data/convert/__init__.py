"""Folders of other cameras and data sets, turned into the layout that training reads."""
