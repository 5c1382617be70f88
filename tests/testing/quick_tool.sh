#!/bin/sh
# Runs the tool by whose name this is called; a compiler with little optimisation, or none where
# nobody waits for the program to run in a simulation. What the kernels would have inlined into each
# of their forms, which is most of what there is to compile, becomes a call. On the host a compiler
# that takes no time comes first; what it refuses is cc's to judge.
name="${0##*/}"
case "$name" in
  riscv*gcc) exec "$name" "$@" -Og -fno-unroll-loops -Dalways_inline=unused ;;
  arm*gcc) exec "$name" "$@" -O0 -Dalways_inline=unused ;;
  cc) tcc '-D__builtin_assume_aligned(p, n)=(p)' "$@" 2>/dev/null || exec cc "$@" -O0 ;;
  *cc) exec "$name" "$@" -O0 ;;
  *) exec "$name" "$@" ;;
esac
