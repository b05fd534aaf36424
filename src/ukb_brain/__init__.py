"""How much of a person can be read from their brain, with which data, and how sure are we?"""

__version__ = "0.1.0"
