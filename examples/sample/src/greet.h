/* What the program says. */
const char *greeting(const char *language);
