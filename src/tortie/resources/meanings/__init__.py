"""What documents of the enforced kinds mean to the model: one file for each, named like its kind's.

Apart from the kinds, and loaded when the first document is lowered: who reads, checks or lists documents needs neither
the model nor the library that converts them.
"""
