"""`hicra report`: every rollout of verl runs on one offline page, or in a folder that is loaded piece by piece."""
