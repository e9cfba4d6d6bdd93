"""Where live sessions are seen and heard: transports, each of which knows only the session."""
