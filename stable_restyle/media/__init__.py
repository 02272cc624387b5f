"""Pictures and films as files: PNG and other kinds, folders of frames, FFmpeg."""
