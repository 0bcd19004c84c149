"""Signal processing: log-mel features, noise, rooms, codecs, loudness."""
