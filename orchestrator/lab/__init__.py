"""Two sites and a witness on one machine: real servers, started, hurt, healed and taken down."""
