"""`/v1/realtime`: OpenAI's realtime interface for transcription, over WebSockets."""
