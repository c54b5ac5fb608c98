#!/bin/sh
# Makes a git repository of sample/ in a new folder, to try plans on.
set -eu
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 64; }
[ ! -e "$1" ] || { echo "$0: $1 is there already; name a folder that is not" >&2; exit 64; }
sample=$(cd "$(dirname "$0")/sample" && pwd)
mkdir -p -- "$(dirname -- "$1")"
folder=$(cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
mkdir -- "$folder"
# Nothing half made is left behind.
trap 'cd / && rm -rf -- "$folder"' EXIT
trap 'exit 1' HUP INT TERM
cp -R "$sample/." "$folder"
cd "$folder"
git init -q -b main
git add -A
# Whatever else the user has configured, nobody signs this and no hook is run.
git -c user.name=sample -c user.email=sample@localhost -c commit.gpgsign=false \
    -c core.hooksPath=/dev/null commit -q -m "A program that greets"
trap - EXIT
echo "made $folder, on branch main, at $(git rev-parse --short HEAD)"
