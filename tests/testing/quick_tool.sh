#!/bin/sh
# Runs the tool by whose name this is called; a compiler with little optimisation, or none where
# nobody waits for the program to run in a simulation.
name="${0##*/}"
case "$name" in
  riscv*gcc) exec "$name" "$@" -Og -fno-unroll-loops ;;
  *cc) exec "$name" "$@" -O0 ;;
  *) exec "$name" "$@" ;;
esac
