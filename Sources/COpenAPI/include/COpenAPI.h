/* The OpenAPI document of the agent's API, docs/openapi.json, as it is. */
#pragma once

const unsigned char *openapi_document(void);
unsigned long openapi_document_size(void);
