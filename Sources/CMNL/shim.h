/* <netinet/in.h> first, as in CLinux.h: both see the same structures then, whichever is read first. */
#pragma once
#include <netinet/in.h>
#include <stdio.h>

#include <libmnl/libmnl.h>

/* Prints a title, then one message with its attributes, to standard error, which Swift cannot name: it is a variable. */
static inline void mnl_print_message(const char *title, const void *message, size_t length, size_t header_length) {
    fprintf(stderr, "%s\n", title);
    mnl_nlmsg_fprintf(stderr, message, length, header_length);
}
