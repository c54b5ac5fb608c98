#include "greet.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        puts("usage: greet [de|fr|en]");
        return 0;
    }
    puts(greeting(argc > 1 ? argv[1] : "en"));
    return 0;
}
