"""The physics of the simulator: pure arrays in, pure arrays out; SI units; nothing here touches a file."""
