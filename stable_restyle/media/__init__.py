"""Pictures and films as files: PNG, folders of frames, FFmpeg."""
