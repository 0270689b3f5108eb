// app/main.cpp -- the program `sallyport` (also as `sp`): see verbs/ for what each verb does.
#include "app/verbs/command_line.h"

int main(int argc, char** argv) { return sallyport::app::run_command_line(argc, argv); }
