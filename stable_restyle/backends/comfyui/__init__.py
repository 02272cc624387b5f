"""ComfyUI servers: their protocol, and workflows for them."""
