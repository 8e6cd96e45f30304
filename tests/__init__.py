"""The tests of twinsite; one folder per area, shared helpers in `support`."""
