"""The parts of the final report: reading and sampling, statistics, drawing, charts, cards."""
