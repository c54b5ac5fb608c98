#!/bin/sh
# Makes a git repository of sample/ in a new folder, to try plans on.
set -eu
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 64; }
[ ! -e "$1" ] || { echo "$0: $1 is there already; name a folder that is not" >&2; exit 64; }
mkdir -p "$1"
cp -R "$(dirname "$0")/sample/." "$1"
cd "$1"
git init -q -b main
git add -A
git -c user.name=sample -c user.email=sample@localhost commit -q -m "A program that greets"
echo "made $(pwd), on branch main, at $(git rev-parse --short HEAD)"
