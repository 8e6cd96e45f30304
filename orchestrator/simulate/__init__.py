"""Two sites in virtual time: the code that decides, on a simulated store, network, clocks and hosts.

One seed gives one run, always the same. The product does not know its simulation.
"""
