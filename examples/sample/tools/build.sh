#!/bin/sh
# Builds the program into build/NAME, with further options for the compiler.
set -eu
name=$1
shift
mkdir -p build
cc -Wall "$@" -o "build/$name" src/greet.c src/main.c
