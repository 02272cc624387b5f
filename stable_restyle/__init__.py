"""Restyle a film with Stable Diffusion, slide by slide, on ComfyUI servers."""
