#!/bin/sh
# Records what the program says about itself.
set -eu
sh tools/build.sh greet
build/greet --help >USAGE.txt
