"""Certificates: who is who on the network, the small private authority, and when certificates run out."""
