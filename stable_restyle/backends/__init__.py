"""What draws slides: ComfyUI servers and the embedded preview engine."""
