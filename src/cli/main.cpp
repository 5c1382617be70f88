// The process of the program.
#include "program.hpp"

int main(int argc, char** argv) { return espalier::cli::run_program({argv + 1, argv + argc}); }
