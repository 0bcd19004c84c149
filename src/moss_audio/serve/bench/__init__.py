"""Load for a server with OpenAI's interface, and how fast it answers: `moss-audio bench-serve`.

Everything is sent on a schedule that is made before: what a slow server answers late counts from
the moment when it was due, and not from the one when a waiting client got round to it.
"""
