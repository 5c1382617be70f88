# shellcheck shell=bash
# For the scripts beside this, which name the program in $espalier:
#   trained FILE OPTION...      espalier train with these options, its document in FILE
# A training that diverged has a document too, and is a result among others; whatever else goes wrong
# ends the script.
trained() {
  local file="$1"
  shift
  rm -f "$file"
  # shellcheck disable=SC2154
  "$espalier" train "$@" --quiet --json "$file" || grep -qs '"diverged": true' "$file"
}
