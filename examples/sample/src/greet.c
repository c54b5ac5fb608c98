#include "greet.h"

#include <string.h>

const char *greeting(const char *language) {
    if (strcmp(language, "de") == 0) return "Guten Tag";
    if (strcmp(language, "fr") == 0) return "Bonjour";
    return "Hello";
}
