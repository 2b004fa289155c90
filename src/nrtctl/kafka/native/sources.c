/* Of which sources this was made: the digest that hatch_build.py gives to the compiler. */
#include "message.h"

#ifndef NRTCTL_SOURCES
#define NRTCTL_SOURCES ""
#endif

PUBLIC const char *nrtctl_sources(void) { return NRTCTL_SOURCES; }
