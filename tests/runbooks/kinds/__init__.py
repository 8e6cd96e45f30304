"""Tests of the kinds of step, a file for each."""
