#!/bin/sh
# Builds the program and looks at what it says.
set -eu
sh tools/build.sh tested -g
[ "$(build/tested de)" = "Guten Tag" ]
[ "$(build/tested)" = "Hello" ]
echo "it greets"
