"""Tests of the driver for services of several parts."""
