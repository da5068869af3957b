"""The methods of the asynchronous classes without await, all of them made by `python -m tests.sync.generate`.

A module for each module of the asynchronous side, a class for each of its classes.
"""
