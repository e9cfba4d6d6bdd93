"""Sharper generated faces: a face restoration network on an aligned crop of each frame, blended back.

    frame -> align.crop -> Restorer.restore -> what it adds -> Steady.add -> align.put_back -> frame

`Enhancement` is that as a stage of a head; `EnhanceConfig` is what the user may say about it.
"""
