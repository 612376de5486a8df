"""Which tokens: each selector takes a ``RolloutBatch`` and returns a mask, or weights from 0 to 1, of shape (B, T).

A module of this folder is found by itself. What a mask says where ``response_mask`` is False is ignored.
"""
