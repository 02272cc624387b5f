"""The embedded preview engine: slides without a server, in two looks, clay and anime."""
