"""Work on a catalogue, block by block: ahead of time, in parts that survive, on many machines."""
