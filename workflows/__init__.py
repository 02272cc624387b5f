"""The workflows that ship with stable-restyle, as ComfyUI API JSON files."""
