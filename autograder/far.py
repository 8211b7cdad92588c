"""What a dask worker is sent. It takes no time to load: that happens where the worker answers its scheduler."""

import pickle


def call(packed: bytes) -> bytes:
    """Call a function that was pickled together with its argument; all that it needs is imported here, in a thread."""
    function, argument = pickle.loads(packed)
    return pickle.dumps(function(argument))
