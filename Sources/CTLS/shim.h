/* TLS. Inline functions stand for what OpenSSL has as macros, which Swift cannot name. */
#pragma once
#include <openssl/err.h>
#include <openssl/ssl.h>

/* TLS 1.3 and nothing older; what is written may move between two attempts, and may go out in parts. */
static inline int tls_require_1_3(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
}

/* TLS 1.2 and newer, with writes as above. */
static inline int tls_require_1_2(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}
