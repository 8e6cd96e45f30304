"""What we see: health probes, each with a verdict, a reason and its evidence."""

PRODUCT = "twinsite 0.1.0"
