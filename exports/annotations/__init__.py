"""The files of annotations, one file for each format."""
