#!/bin/sh
# Restyle a shelf of films: each film in in/ becomes one of the same name in out/.
#
#     sh examples/shelf.sh --model anime.json --prompt "anime, night"
#
# The options are for all films. Run it again to go on after a stop, or when films were added:
# finished ones are skipped. The list that it writes, out/films.txt, may be edited and used by hand.
set -eu

mkdir -p out
{
    echo "# films.txt, written by shelf.sh"
    for film in in/*; do
        name=$(basename "$film")
        case $name in
        *.mp4 | *.mkv | *.mov | *.webm) target=out/$name ;;
        *.avi | *.m4v | *.mpg | *.mts | *.ts | *.wmv) target=out/$name.mp4 ;;
        *) continue ;;
        esac
        printf '%s\n%s\n' "$film" "$target" | sed 's/[\\"]/\\&/g; s/.*/"&"/' | paste -d ' ' - -
    done
} > out/films.txt
exec video-restyle --batch out/films.txt "$@"
