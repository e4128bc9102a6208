#include "COpenAPI.h"

/* SwiftPM would make a Swift array of it, and the compiler would take ten seconds for that. */
#pragma clang diagnostic ignored "-Wc23-extensions"
static const unsigned char document[] = {
#embed "../../docs/openapi.json"
};

const unsigned char *openapi_document(void) { return document; }
unsigned long openapi_document_size(void) { return sizeof document; }
