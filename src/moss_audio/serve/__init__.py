"""A server with OpenAI's REST interface: transcriptions, conversations about clips, and our tasks.

`moss-audio serve MODEL` starts it; docs/serving.md describes it. Needs the extra `serve`.
"""
