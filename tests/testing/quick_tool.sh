#!/bin/sh
# Runs the tool by whose name this is called; a compiler with little optimisation, or none where
# nobody waits for the program to run in a simulation. On the host a compiler that takes no time
# comes first; what it refuses is cc's to judge.
name="${0##*/}"
case "$name" in
  riscv*gcc|arm*gcc) exec "$name" "$@" -Og -fno-unroll-loops ;;
  cc) tcc '-D__builtin_assume_aligned(p, n)=(p)' "$@" 2>/dev/null || exec cc "$@" -O0 ;;
  *cc) exec "$name" "$@" -O0 ;;
  *) exec "$name" "$@" ;;
esac
