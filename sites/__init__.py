"""What exists: the estate's sites, hosts and services, and how to speak to them."""

PRODUCT = "twinsite 0.1.0"
