"""The physics of the simulator: pure arrays in, pure arrays out; SI units; nothing here touches a file.

``geometry`` turns ground displacement into line-of-sight (LOS) motion, ``sources`` and ``mining`` produce that
displacement, and ``terrain``, ``atmosphere`` and ``coherence`` produce everything in an interferogram that is not
deformation. Randomness comes only through an ``rng`` argument.
"""
