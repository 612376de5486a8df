"""What happens to the advantage: each shaper takes advantages, mask and ``RolloutBatch`` and returns new advantages.

Advantages are (B, T) float; the mask is (B, T), bool or weights from 0 to 1. A module of this folder is found by
itself. What a shaper returns where ``response_mask`` is False is ignored.
"""
