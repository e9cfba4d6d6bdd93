"""Training networks: a loop that can be killed at any moment, losses, and what makes a step fast.

    plan      how many steps fit into the time, decided once
    loop      step, evaluate, keep the best, write the state
    state     all of it in one safetensors file: network, average, optimiser, position
    losses    with plain NumPy twins in the tests
    speed     precision, memory layout, memory that is kept
    ranks     several processes, each with a part of every batch

It knows no family: a family gives a `loop.Task`. Modules here import torch, so they are imported when they are used.
"""
