#!/bin/sh
# Show films before and after, side by side: those of in/ and out/ become one in out/side-by-side/.
#
#     sh examples/side-by-side.sh
#
# It needs an FFmpeg (5.1 or newer) with x264 on the PATH; FFMPEG names another one. HEIGHT is in pixels.
set -eu

ffmpeg=${FFMPEG:-ffmpeg}
if ! command -v "$ffmpeg" > /dev/null; then
    echo "There is no $ffmpeg. Install FFmpeg, or name it: FFMPEG=/path/to/ffmpeg" >&2
    exit 2
fi
mkdir -p out/side-by-side
for after in out/*; do
    name=$(basename "$after")
    before=in/$name
    [ -e "$before" ] || before=in/${name%.*}  # in/a.avi became out/a.avi.mp4
    [ -f "$before" ] && [ -f "$after" ] || continue
    both=out/side-by-side/${name%.*}.mp4
    "$ffmpeg" -nostdin -y -loglevel error -i "$before" -i "$after" -filter_complex \
        "[0:v]scale=-2:${HEIGHT:-360},setsar=1[a]; [1:v]scale=-2:${HEIGHT:-360},setsar=1[b]; [a][b]hstack" \
        -map 0:a? -fps_mode vfr -c:v libx264 -crf 18 -pix_fmt yuv420p -movflags +faststart "$both"
    echo "$both"
done
