"""How fast the backends are, beside the best of what else there is; `python -m benchmarks --help`.

Every contender runs in a process of its own. In each round every contender has one burst, in turning order
(A B C, B C A, ...), so that what else the machine does hits all alike. Only ratios within a round are compared.
"""
