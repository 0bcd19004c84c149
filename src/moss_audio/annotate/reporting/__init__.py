"""The parts of the final report: reading, statistics, samples, drawing, page."""
